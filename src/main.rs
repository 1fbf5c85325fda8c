mod core;
fn main() {}
