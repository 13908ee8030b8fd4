//! Median, range, percentiles: all from a sorted `Vec`.

/// The middle of `values`, or the mean of the two in the middle; NaN if there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// The smallest and the largest; NaN if there are none.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    match (sorted.first(), sorted.last()) {
        (Some(&min), Some(&max)) => (min, max),
        _ => (f64::NAN, f64::NAN),
    }
}

/// The smallest value that `percent` of the values do not exceed (nearest rank); NaN if there are none.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    if sorted.is_empty() {
        return f64::NAN;
    }
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// For each of [`tail_shares`] the value that this share of them exceeds; NaN where there are too few to tell.
pub(crate) fn tail(values: &[f64]) -> Vec<f64> {
    let sorted = sorted(values);
    tail_of(sorted.len(), |percent| {
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    })
}

/// The same, of so many values of which `percentile` knows more.
pub(crate) fn tail_of(count: usize, percentile: impl Fn(f64) -> f64) -> Vec<f64> {
    let value = |share: f64| {
        if share * (count as f64) < 1.0 { f64::NAN } else { percentile(100.0 * (1.0 - share)) }
    };
    tail_shares().map(value).collect()
}

/// From all down to one in ten thousand, ten for each power of ten.
pub(crate) fn tail_shares() -> impl Iterator<Item = f64> {
    (0..=40).map(|step| 10f64.powf(-f64::from(step) / 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), 100.0);
        assert_eq!(percentile(&values, 99.0), 198.0);
        assert_eq!(percentile(&values, 100.0), 200.0);
        assert_eq!(percentile(&[7.0], 1.0), 7.0);
        assert!(percentile(&[], 50.0).is_nan());
    }

    #[test]
    fn a_tail_says_what_few_exceed() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let tail = tail(&values);
        let shares: Vec<_> = tail_shares().collect();
        assert_eq!(tail.len(), shares.len());
        let at =
            |share: f64| tail[shares.iter().position(|s| (s / share - 1.0).abs() < 1e-6).unwrap()];
        assert_eq!((at(1.0), at(0.1), at(0.01)), (1.0, 900.0, 990.0));
        // One in ten thousand of a thousand is nobody.
        assert!(at(0.0001).is_nan());
    }

    #[test]
    fn range_ends() {
        assert_eq!(range(&[2.0, 9.0, 4.0]), (2.0, 9.0));
    }
}
