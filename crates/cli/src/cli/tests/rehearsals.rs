//! A dry run says what the run would do: it refuses the same, with the same text and exit code.

use stormfire_module::state::Saved;

use super::*;

/// The mistake that a run and its dry run name alike. Neither changes a file.
fn mistake<M, D, MC, DC>(program: impl Fn() -> Cli<M, D, MC, DC>, root: &Path, words: &[&str]) -> String
where
    M: LightningModule,
    D: DataModule<Batch = M::Batch>,
    MC: DeserializeOwned,
    DC: DeserializeOwned,
{
    let told = |words: &[&str]| {
        let words: Vec<String> = in_folder(root.to_str().unwrap(), words).into_iter().map(str::to_owned).collect();
        match program().execute("program", &words, Vec::new()) {
            Err(Ended::Usage(error)) => error.to_string(),
            Err(other) => panic!("{}", other.into_error()),
            Ok(outcome) => panic!("{outcome:?}"),
        }
    };
    let files = walk(root);
    let error = told(&[words, &["--dry-run"]].concat());
    assert_eq!(told(words), error);
    assert_eq!(walk(root), files);
    shown(&error, root)
}

/// The checkpoint after the first of three steps.
fn saved(program: Program, root: &Path, options: &str) -> String {
    let folder = root.join("saved");
    let options = format!("dirpath: {}, every: 1 steps, save_top_k: all{options}", folder.display());
    let callback = format!("trainer.callbacks=[{{name: model_checkpoint, {options}}}]");
    run(program, root, &["data.batches=3", &callback]).unwrap();
    let path = walk(&folder).into_iter().find(|path| path.to_str().unwrap().contains("step=1")).unwrap();
    format!("--ckpt-path={}", path.display())
}

#[test]
fn a_checkpoint_of_weights_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let weights = saved(program_of(1), folder.path(), ", save_weights_only: true");
    assert_snapshot!(mistake(|| program_of(1), folder.path(), &[&weights, "--epochs=2"]), @r"
    --ckpt-path: checkpoint `ROOT/saved/epoch=0-step=1.ckpt`: it contains only weights, so a fit cannot resume from it
      help: start a new fit from its weights with `LightningModule::load_weights`, or save without `save_weights_only`
    ");
}

#[test]
fn other_data_in_mid_epoch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let checkpoint = saved(program_of(1), root, "");
    let told = mistake(|| program_of(1), root, &[&checkpoint, "--epochs=2", "data.batches=4"]);
    let expected = "--ckpt-path: checkpoint `ROOT/saved/epoch=0-step=1.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it has 4 batches an epoch, the checkpoint's had 3";
    assert!(told.starts_with(expected), "{told}");
    // The same data is good, and a dry run changes nothing.
    let files = walk(root);
    printed(run(program_of(1), root, &[&checkpoint, "--dry-run", "--epochs=2", "data.batches=3"]));
    assert_eq!(walk(root), files);
}

/// With `overfit_batches`, both runs have the data in order.
#[test]
fn the_order_of_the_data_is_that_of_the_run() {
    let shuffled = || {
        let data = |_: PointsConfig| {
            let items: Vec<f32> = (0..8).map(|item| item as f32).collect();
            let collate = |items: Vec<f32>, device: &Device| {
                let x = Tensor::<1>::from_floats(items.as_slice(), device).unsqueeze_dim::<2>(1);
                (x.clone(), x)
            };
            let loader = Loader::collate(burn::data::dataset::InMemDataset::new(items), collate).batch_size(2);
            Ok(Points(loader.shuffle(true)))
        };
        Cli::new(Line::new, data)
            .alias("quiet", "trainer.enable_progress_bar=false")
            .trainer_defaults(TrainerConfig { max_epochs: Some(1), ..TrainerConfig::default() })
    };
    let folder = tempfile::tempdir().unwrap();
    let overfit = "trainer.overfit_batches=3";
    let checkpoint = saved(shuffled().trainer(|trainer| trainer.overfit_batches(3)), folder.path(), "");
    printed(run(shuffled(), folder.path(), &[&checkpoint, "--dry-run", overfit]));
    run(shuffled(), folder.path(), &[&checkpoint, overfit]).unwrap();
}

/// A line with another optimizer.
#[derive(Module, Debug)]
struct Renamed {
    layer: Linear,
}

impl LightningModule for Renamed {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).named("other").into())
    }
}

#[test]
fn other_optimizers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = saved(program_of(1), folder.path(), "");
    let renamed = || {
        let model = |config: LineConfig, device: &Device| Ok(Renamed { layer: LinearConfig::new(config.inputs, 1).init(device) });
        let data = |data: PointsConfig| {
            let batch = || (Tensor::ones([4, 1], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
            let batches: Vec<_> = (0..data.batches.unwrap_or(2)).map(|_| batch()).collect();
            Ok(Points(Loader::from_batches(batches).items_per_batch(4)))
        };
        Cli::new(model, data).alias("quiet", "trainer.enable_progress_bar=false")
    };
    assert_snapshot!(mistake(renamed, folder.path(), &[&checkpoint, "trainer.max_epochs=2", "data.batches=3"]), @r"
    --ckpt-path: checkpoint `ROOT/saved/epoch=0-step=1.ckpt`: optimizer `other`: the checkpoint has `SGD`, in this order; `configure_optimizers` returns `other`
      help: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    ");
}

#[test]
fn options_of_callbacks_are_refused_without_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let told = |callback: &str, words: &[&str]| {
        let callbacks = format!("trainer.callbacks=[{{{callback}}}]");
        mistake(|| program_of(1), folder.path(), &[words, &[callbacks.as_str()]].concat())
    };
    for (callback, expected) in [
        ("name: throughput_monitor, window_size: 0", "a rate needs 2 batches, not 0"),
        ("name: throughput_monitor, flops_per_batch: -1", "-1 is not a number of operations"),
        ("name: spike_detection, action: warn, window: 0", "a mean needs a window of at least 1"),
        ("name: spike_detection, action: warn, rtol: -1", "-1 is not a number from 0 on"),
        ("name: model_pruning, amount: 100", "100 are to be pruned of the chosen weights, and 1 are left"),
    ] {
        let error = told(callback, &[]);
        assert!(error.contains(expected), "{error}");
    }
    let error = told("name: stochastic_weight_averaging, lr: 0.05", &["trainer.max_epochs=null", "trainer.max_steps=4"]);
    assert!(error.contains("a share of the epochs needs `max_epochs`"), "{error}");
}

/// Its schedule would have the length of the fit.
#[derive(Module, Debug)]
struct Counted {
    layer: Linear,
}

impl LightningModule for Counted {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        assert_eq!(self.estimated_stepping_batches(), Some(6));
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

#[test]
fn a_dry_run_has_the_length_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let program = || {
        let model = |config: LineConfig, device: &Device| Ok(Counted { layer: LinearConfig::new(config.inputs, 1).init(device) });
        let data = |data: PointsConfig| {
            let batch = || (Tensor::ones([4, 1], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
            let batches: Vec<_> = (0..data.batches.unwrap_or(2)).map(|_| batch()).collect();
            Ok(Points(Loader::from_batches(batches).items_per_batch(4)))
        };
        Cli::new(model, data).alias("quiet", "trainer.enable_progress_bar=false")
    };
    let root = folder.path().to_str().unwrap();
    for first in ["--dry-run", "fit"] {
        program().try_run(&in_folder(root, &[first, "trainer.max_epochs=2", "data.batches=3"]), &[]).unwrap();
    }
}

/// A callback with a state.
struct Kept<T>(T);

impl<T: Serialize + DeserializeOwned + 'static> Callback<Line> for Kept<T> {
    fn state(&self) -> Result<Saved> {
        state::save(&self.0)
    }

    fn load_state(&mut self, saved: Saved) -> Result<()> {
        state::load(&mut self.0, saved)
    }
}

#[test]
fn another_state_of_a_callback_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = saved(program_of(1).trainer(|trainer| trainer.callback(Kept(5))), folder.path(), "");
    let other = || program_of(1).trainer(|trainer| trainer.callback(Kept("five".to_owned())));
    assert_snapshot!(mistake(other, folder.path(), &[&checkpoint, "--epochs=2", "data.batches=3"]), @r"
    --ckpt-path: checkpoint `ROOT/saved/epoch=0-step=1.ckpt`: the state of `Kept` cannot be converted: invalid type: integer `5`, expected a string
      help: start a new fit from its weights, or use another checkpoint
    ");
}
