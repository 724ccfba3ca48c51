#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sysprep_rs_fuzz::targets::user_data(data));
