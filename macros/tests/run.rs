//! What the two attributes accept, run.

use std::fmt::Display;
use std::num::ParseIntError;
use std::process::{Command, ExitCode, Termination};
use std::thread;
use std::time::Duration;

mod elsewhere {
    pub(super) mod runtime {
        pub(crate) use filch::*;
    }
}

async fn name_of_a_workers_thread() -> String {
    filch::spawn(async { thread::current().name().unwrap_or_default().to_owned() }).await.unwrap()
}

mod main {
    use super::*;

    #[filch::main]
    async fn without_arguments() {
        filch::sleep(Duration::from_millis(1)).await;
    }

    /// It has a doc comment, a visibility and another attribute.
    #[must_use]
    #[filch::main(worker_threads = 1)]
    pub(crate) async fn with_a_value() -> u32 {
        filch::spawn(async { 42 }).await.unwrap()
    }

    #[filch::main()]
    async fn with_question_mark() -> Result<i32, ParseIntError> {
        let number: i32 = "forty-two".parse()?;
        Ok(number)
    }

    #[filch::main]
    async fn with_boxed_error() -> Result<(), Box<dyn std::error::Error>> {
        let _: i32 = "forty-two".parse()?;
        Err("not reached")?
    }

    #[filch::main]
    async fn with_opaque_value() -> impl Termination + Display {
        Shown
    }

    struct Shown;

    impl Termination for Shown {
        fn report(self) -> ExitCode {
            ExitCode::SUCCESS
        }
    }

    impl Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("shown")
        }
    }

    #[filch::main]
    async fn with_early_return() -> &'static str {
        if filch::spawn(async { true }).await.unwrap() {
            return "early";
        }
        "late"
    }

    const WORKERS: usize = 3;

    fn of<A, B>(name: &str) -> String {
        format!("{name}-{}", size_of::<(A, B)>())
    }

    #[filch::main(worker_threads = WORKERS - 1, thread_name = of::<u8, [u8; 6]>("x"))]
    async fn with_arguments() -> String {
        name_of_a_workers_thread().await
    }

    #[elsewhere::runtime::main(crate = crate::elsewhere::runtime, worker_threads = 1)]
    async fn with_another_path() -> u32 {
        7
    }

    macro_rules! define {
        ($(#[$attribute:meta])* $visibility:vis fn $name:ident -> $output:ty $body:block, $workers:expr, $path:path) => {
            $(#[$attribute])*
            #[filch::main(worker_threads = $workers, crate = $path)]
            $visibility async fn $name() -> $output $body
        };
    }

    define!(
        /// Defined by a macro.
        pub(super) fn by_macro -> u8 { 1 + 1 }, 1 + 1, ::filch
    );
    define!(fn by_macro_private -> u8 { 3 }, 1, crate::elsewhere::runtime);

    #[test]
    fn all_run() {
        without_arguments();
        assert_eq!(with_a_value(), 42);
        assert!(with_question_mark().is_err());
        assert_eq!(with_boxed_error().unwrap_err().to_string(), "invalid digit found in string");
        assert_eq!(with_opaque_value().to_string(), "shown");
        assert_eq!(with_early_return(), "early");
        assert!(with_arguments().starts_with("x-7"), "{}", with_arguments());
        assert_eq!(with_another_path(), 7);
        assert_eq!(by_macro() + by_macro_private(), 5);
    }
}

mod test {
    use super::*;

    #[filch::test]
    async fn without_arguments() {
        assert_eq!(filch::spawn(async { 42 }).await.unwrap(), 42);
    }

    #[filch::test(timeout = secs(30))]
    async fn with_result() -> Result<(), ParseIntError> {
        let number: i32 = "42".parse()?;
        assert_eq!(number, 42);
        Ok(())
    }

    #[should_panic(expected = "from below the attribute")]
    #[filch::test]
    async fn should_panic_above() {
        panic!("from below the attribute");
    }

    #[filch::test(worker_threads = 4)]
    #[should_panic(expected = "the task panicked")]
    async fn should_panic_below() {
        filch::spawn(async { unreachable!() }).await.expect("the task panicked");
    }

    #[ignore = "to be listed as ignored"]
    #[filch::test]
    async fn ignored_above() {}

    #[filch::test]
    #[ignore = "to be listed as ignored"]
    async fn ignored_below() {}

    #[test]
    fn ignored_are_listed() {
        let this_program = std::env::current_exe().unwrap();
        let list = Command::new(this_program).args(["--list", "--ignored"]).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let tests: Vec<_> = list.lines().filter(|line| line.ends_with(": test")).collect();
        assert_eq!(tests, ["test::ignored_above: test", "test::ignored_below: test"]);
    }

    #[filch::test(timeout = millis(50))]
    #[should_panic(expected = "test::exceeds_its_timeout")]
    async fn exceeds_its_timeout() {
        filch::sleep(Duration::from_secs(60)).await;
    }

    #[filch::test(timeout = millis(50))]
    #[should_panic(expected = "50ms")]
    async fn says_its_timeout() {
        filch::sleep(Duration::from_secs(60)).await;
    }

    const LIMIT: Option<Duration> = Some(Duration::from_millis(50));

    #[filch::test(timeout = LIMIT)]
    #[should_panic(expected = "50ms")]
    async fn timeout_may_be_an_option() {
        filch::sleep(Duration::from_secs(60)).await;
    }

    #[filch::test(timeout = 10 * Duration::from_millis(5))]
    #[should_panic(expected = "50ms")]
    async fn timeout_may_be_an_expression() {
        filch::sleep(Duration::from_secs(60)).await;
    }

    #[filch::test(clock = manual)]
    async fn manual_clock() {}

    #[filch::test(clock = system, crate = crate::elsewhere::runtime, thread_name = "named")]
    async fn another_path() {
        assert!(name_of_a_workers_thread().await.starts_with("named"));
    }
}
