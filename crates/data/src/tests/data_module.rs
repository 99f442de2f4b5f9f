use serde_json::{Value, json};

use super::{numbers, values};
use crate::{DataModule, Error, Loader, Loaders, Result, Saved, Stage};

/// The number of loaders for a run of this stage: (train, val, test, predict).
fn found(data: &mut dyn DataModule<Batch = Vec<usize>>, stage: Stage) -> (bool, usize, usize, usize) {
    data.setup(stage).unwrap();
    (
        data.train_dataloader().is_ok(),
        data.val_dataloader().unwrap().len(),
        data.test_dataloader().unwrap().len(),
        data.predict_dataloader().unwrap().len(),
    )
}

#[test]
fn loaders_are_data_modules() {
    let mut one = numbers(2);
    assert_eq!(found(&mut one, Stage::Fit), (true, 0, 1, 1), "a fit does not validate on its training data");
    assert_eq!(found(&mut one, Stage::Validate), (true, 1, 1, 1));
    assert_eq!(found(&mut one, Stage::Fit), (true, 0, 1, 1));
    assert_eq!(found(&mut Loaders::from([numbers(2), numbers(3)]), Stage::Test), (false, 2, 2, 2));
    assert_eq!(found(&mut (numbers(2), numbers(1)), Stage::Fit), (true, 1, 0, 0));
    assert_eq!(found(&mut (numbers(2), vec![numbers(1), numbers(2)]), Stage::Fit), (true, 2, 0, 0));
    assert_eq!(found(&mut (numbers(2), Some(numbers(1))), Stage::Fit), (true, 1, 0, 0));
    assert_eq!(found(&mut (numbers(2), Loaders::none()), Stage::Fit), (true, 0, 0, 0));
    assert_eq!(found(&mut (numbers(2), numbers(1), vec![numbers(1), numbers(2)]), Stage::Test), (true, 1, 2, 0));
}

#[derive(Default)]
struct Counting {
    calls: Vec<String>,
    state: u64,
}

impl DataModule for Counting {
    type Batch = Vec<usize>;

    fn prepare_data(&mut self) -> Result<()> {
        self.calls.push("prepare".into());
        Ok(())
    }

    fn setup(&mut self, stage: Stage) -> Result<()> {
        self.calls.push(format!("setup {stage}"));
        Ok(())
    }

    fn teardown(&mut self, stage: Stage) -> Result<()> {
        self.calls.push(format!("teardown {stage}"));
        Ok(())
    }

    fn train_dataloader(&mut self) -> Result<Loader<Vec<usize>>> {
        Ok(numbers(1))
    }

    fn predict_dataloader(&mut self) -> Result<Loaders<Vec<usize>>> {
        Ok(numbers(4).into())
    }

    fn state(&self) -> Result<Saved> {
        Ok(serde_json::to_value(self.state)?.into())
    }

    fn load_state(&mut self, mut state: Saved) -> Result<()> {
        self.state = serde_json::from_value(state.take_json())?;
        Ok(())
    }

    fn on_exception(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.calls.push(error.to_string());
    }

    fn hparams(&self) -> Result<Value> {
        Ok(json!({"batch_size": 4}))
    }
}

fn drive(mut data: impl DataModule<Batch = Vec<usize>>) {
    data.prepare_data().unwrap();
    assert_eq!(found(&mut data, Stage::Fit), (true, 0, 0, 1));
    assert_eq!(values(&data.train_dataloader().unwrap()), [[0]]);
    data.load_state(json!(7).into()).unwrap();
    assert_eq!(data.state().unwrap().json(), &json!(7));
    assert_eq!(data.hparams().unwrap(), json!({"batch_size": 4}));
    assert!(matches!(data.load_state(json!("seven").into()).unwrap_err(), Error::Json(_)));
    data.on_exception(&Error::other("oh"));
    data.teardown(Stage::Fit).unwrap();
}

#[test]
fn borrowed_and_boxed_modules_forward_every_method() {
    let mut data = Counting::default();
    drive(&mut data);
    assert_eq!(data.calls, ["prepare", "setup fit", "oh", "teardown fit"]);
    assert_eq!(data.state, 7);
    let boxed: Box<dyn DataModule<Batch = Vec<usize>>> = Box::new(Counting::default());
    drive(boxed);
}

#[test]
fn errors_of_the_user_keep_their_text() {
    struct Nothing;
    impl DataModule for Nothing {
        type Batch = ();

        fn setup(&mut self, _stage: Stage) -> Result<()> {
            let _: u8 = "x".parse().map_err(Error::other)?;
            Ok(())
        }

        fn prepare_data(&mut self) -> Result<()> {
            std::fs::read("no such file")?;
            Ok(())
        }
    }
    assert_eq!(Nothing.setup(Stage::Fit).unwrap_err().to_string(), "invalid digit found in string");
    assert!(matches!(Nothing.prepare_data().unwrap_err(), Error::Io(_)));
    assert!(Nothing.state().unwrap().is_empty());
    for (stage, method) in [
        (Stage::Fit, "`train_dataloader`"),
        (Stage::Validate, "`val_dataloader`"),
        (Stage::Test, "`test_dataloader`"),
        (Stage::Predict, "`predict_dataloader`"),
    ] {
        let error = Error::LoaderMissing { stage };
        assert_eq!(error.to_string(), format!("there is no loader for stage `{stage}`"));
        assert!(error.hint().unwrap().contains(method));
    }
    assert_eq!(Nothing.train_dataloader().unwrap_err().to_string(), "there is no loader for stage `fit`");
}
