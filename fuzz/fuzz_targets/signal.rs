#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| drain_init_fuzz::signal(data));
