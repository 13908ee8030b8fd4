//~ `Number: filch::group::kinds::sealed::Sealed` is not satisfied

struct Number;

impl filch::Outcome<String> for Number {
    type Ok = u32;

    fn into_result(self) -> Result<u32, String> {
        Ok(1)
    }
}

fn main() {}
