//! Pictures: a small one out of a large one, and one to try that with.

use std::fmt;
use std::io::Cursor;

use filch::compute::cancel_requested;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage,
};

/// A picture of a few kilobytes may say that it has a billion pixels.
const MAX_SIDE: u32 = 20_000;
const MAX_DECODED_BYTES: u64 = 200_000_000;

pub(crate) struct Thumbnail {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: &'static str,
}

/// Why there is no thumbnail.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What came is no picture, or none that is known here.
    NoPicture(String),
    /// Nobody waits for it any more.
    Cancelled,
}

impl From<ImageError> for Trouble {
    fn from(error: ImageError) -> Trouble {
        Trouble::NoPicture(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoPicture(reason) => {
                write!(f, "the body is no picture that can be read: {reason}")
            }
            Trouble::Cancelled => f.write_str("nobody waits for it any more"),
        }
    }
}

/// A picture of the same kind, so wide; or as wide as it was, if that is less.
pub(crate) fn thumbnail(bytes: &[u8], width: u32) -> Result<Thumbnail, Trouble> {
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
        _ => return Err(Trouble::NoPicture("it begins as neither PNG nor JPEG do".to_owned())),
    };
    let picture = decode(bytes, format)?;
    still_wanted()?;
    let width = width.min(picture.width());
    let height = (u64::from(picture.height()) * u64::from(width)).div_ceil(picture.width().into());
    let height = u32::try_from(height).unwrap_or(MAX_SIDE).clamp(1, MAX_SIDE);
    let small = picture.resize_exact(width, height, FilterType::CatmullRom);
    still_wanted()?;
    encode(&small, format)
}

/// A job cannot be stopped from outside, so it asks between its steps.
fn still_wanted() -> Result<(), Trouble> {
    if cancel_requested() { Err(Trouble::Cancelled) } else { Ok(()) }
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, Trouble> {
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.reserve(decoder.total_bytes())?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(Trouble::NoPicture(format!("{width} × {height} pixels are too many")));
    }
    decoder.set_limits(limits)?;
    // Cameras write the picture as it came, and beside it how they were held.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Result<Thumbnail, Trouble> {
    let mut bytes = Vec::new();
    let content_type = match format {
        ImageFormat::Jpeg => {
            // It has no transparency, nor more than eight bits.
            picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80))?;
            "image/jpeg"
        }
        _ => {
            picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
            "image/png"
        }
    };
    Ok(Thumbnail { bytes, content_type })
}

/// How large the [`sample`] is.
pub(crate) const SAMPLE: (u32, u32) = (1280, 960);

/// A picture to try it with, as JPEG: hills in the evening, made up of waves.
pub(crate) fn sample() -> Vec<u8> {
    let (width, height) = SAMPLE;
    let mut picture = RgbImage::new(width, height);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
        // The sky, and the sun in it.
        let sun = ((across - 0.68).powi(2) * 1.8 + (down - 0.42).powi(2)).sqrt();
        let glow = (-sun * 5.0).exp();
        let mut colour = if sun < 0.06 {
            [255.0, 244.0, 214.0]
        } else {
            [
                60.0 + 195.0 * down + 150.0 * glow,
                70.0 + 90.0 * down + 140.0 * glow,
                130.0 - 30.0 * down + 60.0 * glow,
            ]
        };
        // Five ranges of hills, each nearer and darker.
        for range in 0..5 {
            let near = range as f32;
            let ridge = 0.45
                + 0.11 * near
                + 0.05 * (across * (5.0 + 2.0 * near) + near * 2.1).sin()
                + 0.012 * (across * (31.0 + 9.0 * near) + near).sin();
            if down > ridge {
                let shade = 1.0 - 0.19 * near;
                let grass = 12.0 * ((across * 900.0 + near * 7.0).sin() * (down * 700.0).sin());
                colour = [
                    140.0 * shade + grass * 0.6,
                    96.0 * shade + 20.0 + grass,
                    110.0 * shade * shade + 24.0,
                ];
            }
        }
        // (A cast from a float saturates.)
        *pixel = Rgb(colour.map(|part| part as u8));
    }
    let mut bytes = Vec::new();
    let encoded = picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 75));
    encoded.expect("a picture in memory can be encoded into memory");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bytes: &[u8]) -> (u32, u32) {
        let picture = image::load_from_memory(bytes).unwrap();
        (picture.width(), picture.height())
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let picture = DynamicImage::new_rgba8(width, height);
        picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn it_is_of_the_same_kind_and_shape() {
        let small = thumbnail(&png(300, 200), 30).unwrap();
        assert_eq!((small.content_type, size(&small.bytes)), ("image/png", (30, 20)));
        let mut jpeg = Vec::new();
        DynamicImage::new_rgb8(64, 32)
            .write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg)
            .unwrap();
        let small = thumbnail(&jpeg, 16).unwrap();
        assert_eq!((small.content_type, size(&small.bytes)), ("image/jpeg", (16, 8)));
    }

    #[test]
    fn none_grows_and_none_vanishes() {
        assert_eq!(size(&thumbnail(&png(30, 20), 300).unwrap().bytes), (30, 20));
        assert_eq!(size(&thumbnail(&png(300, 1), 10).unwrap().bytes), (10, 1));
        assert_eq!(size(&thumbnail(&png(1, 300), 1).unwrap().bytes), (1, 300));
    }

    #[test]
    fn what_is_no_picture_is_told_so() {
        let why = |bytes: &[u8]| thumbnail(bytes, 30).err().unwrap().to_string();
        assert!(why(b"").contains("neither PNG nor JPEG"));
        assert!(why(b"GIF89a.........").contains("neither PNG nor JPEG"));
        let whole = png(300, 200);
        for length in [8, 20, 40, whole.len() / 2] {
            assert!(why(&whole[..length]).contains("can be read: "), "{length}");
        }
    }

    #[test]
    fn a_claim_of_a_billion_pixels_is_not_believed() {
        let mut bytes = png(300, 200);
        bytes[16..24].copy_from_slice(&[0, 0, 0x3a, 0x98, 0, 0, 0x3a, 0x98]); // 15,000 × 15,000
        let error = thumbnail(&bytes, 30).err().unwrap();
        assert!(matches!(error, Trouble::NoPicture(_)), "{error}");
    }
}
