use std::{path::PathBuf, process::Output};

use super::*;

/// The variable with the behaviour of the simulated program.
const PART: &str = "STORMFIRE_TEST_PART";

/// Starts a copy of this test binary as the simulated program.
fn part(behaviour: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["accelerator::probe::tests::plays_a_program", "--exact", "--ignored", "--nocapture"]).env(PART, behaviour);
    command
}

fn child(behaviour: &str, question: &str) -> Command {
    let mut command = part(behaviour);
    command.env(VARIABLE, question);
    command
}

/// A program whose `main` starts with [`serve`], and whose driver misbehaves in a child.
#[test]
#[ignore = "played by other tests, in a separate process"]
fn plays_a_program() {
    let Ok(behaviour) = env::var(PART) else {
        return;
    };
    if env::var_os(VARIABLE).is_some() {
        print!("the program was here");
        match behaviour.as_str() {
            "aborts" => process::abort(),
            "aborts with an adapter" => {
                say("adapter", "llvmpipe (LLVM 15)");
                process::abort();
            }
            "hangs" => loop {
                thread::park();
            },
            "answers and hangs" => {
                say("answer", "software");
                loop {
                    thread::park();
                }
            }
            "leaves" => process::exit(3),
            "babbles" => say("answer", "real many"),
            "never stops" => while writeln!(io::stdout(), "0123456789").is_ok() {},
            "panics" => {
                say("fault", "no symbol\n`cuFoo`");
                say("fault", "the channel is closed");
            }
            _ => {
                serve();
                println!("the program continued");
            }
        }
        process::exit(0);
    }
    serve();
    let answer = ask(again(Accelerator::Cpu).unwrap(), LIMIT).unwrap();
    println!("\nthe parent got {answer:?}");
}

#[test]
fn the_fate_of_a_child_is_reported_and_nothing_else_happens() {
    let second = Duration::from_secs(1);
    let died = if cfg!(unix) { "the process that tried it ended with signal: 6 (SIGABRT)" } else { "the process that tried it ended" };
    let died_on = format!("`llvmpipe (LLVM 15)`: {died}");
    for (behaviour, limit, expected) in [
        ("aborts", LIMIT, died),
        ("aborts with an adapter", LIMIT, died_on.as_str()),
        ("hangs", second, "no answer within 1 s"),
        ("leaves", LIMIT, "the process that tried it ended with exit"),
        ("babbles", LIMIT, "the process that tried it ended with exit"),
        ("never stops", LIMIT, "the process that tried it ended with"),
        ("panics", LIMIT, "no symbol `cuFoo`"),
    ] {
        let Presence::Broken(fault) = ask(child(behaviour, "cpu"), limit).unwrap() else {
            panic!("{behaviour}");
        };
        assert!(fault.starts_with(expected), "{behaviour}: {fault}");
    }
}

#[test]
fn an_answer_counts_even_if_the_driver_fails_afterwards() {
    assert_eq!(ask(child("answers and hangs", "cpu"), LIMIT).unwrap(), Presence::Software);
}

#[test]
fn a_child_answers_what_it_is_asked() {
    assert_eq!(ask(child("serves", "cpu"), LIMIT).unwrap(), Presence::Real(1));
    for (question, line) in [("cpu", Some("stormfire-probe: answer real 1")), ("toaster", None)] {
        let Output { status, stdout, .. } = child("serves", question).output().unwrap();
        let stdout = String::from_utf8(stdout).unwrap();
        assert_eq!(stdout.lines().find(|line| line.starts_with(PREFIX)), line);
        assert_eq!(status.success(), line.is_some());
        assert!(!stdout.contains("the program continued"), "{stdout}");
    }
}

#[test]
fn a_program_that_serves_asks_itself() {
    let stdout = String::from_utf8(part("serves").output().unwrap().stdout).unwrap();
    assert!(stdout.contains("the parent got Real(1)"), "{stdout}");
}

/// These tests are a program without `serve`.
#[test]
fn a_program_that_does_not_serve_is_not_started_again() {
    assert!(again(Accelerator::Cpu).is_none());
}

#[test]
fn a_child_that_cannot_be_started_says_nothing_of_the_driver() {
    assert!(ask(Command::new(PathBuf::from("does-not-exist")), LIMIT).is_err());
}

#[test]
fn nothing_is_asked_twice() {
    let answers = Answers::new();
    assert_eq!(answers.get(Accelerator::Cuda(0), || Presence::Real(2)), Presence::Real(2));
    assert_eq!(answers.get(Accelerator::Cuda(1), || Presence::Broken("x".to_owned())), Presence::Broken("x".to_owned()));
    for (accelerator, known) in [(Accelerator::Cuda(0), Presence::Real(2)), (Accelerator::Cuda(1), Presence::Broken("x".to_owned()))] {
        assert_eq!(answers.get(accelerator, || panic!("asked again")), known);
    }
}

#[test]
fn answers_are_read_strictly() {
    for presence in [Presence::Absent, Presence::Software, Presence::Real(8)] {
        assert_eq!(presence_of(&answer_of(&presence).unwrap()), Some(presence));
    }
    for text in ["", "real", "real x", "real -1", "absent ", "Absent", "real 1 2"] {
        assert_eq!(presence_of(text), None, "{text:?}");
    }
    for line in ["answer absent", "stormfire-probe: answer", "stormfire-probe:answer absent", " stormfire-probe: answer absent"] {
        assert_eq!(Report::default().note(line), None, "{line:?}");
    }
    assert_eq!(Report::default().note("stormfire-probe: answer absent"), Some(Presence::Absent));
}
