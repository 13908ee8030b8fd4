#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(what) = (filch_models::branches::TARGET.run)(bytes) {
        panic!("{what}");
    }
});
