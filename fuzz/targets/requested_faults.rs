#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tower_keep_fuzz::requested_faults::requested_faults(bytes);
});
