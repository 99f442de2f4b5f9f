//! The options of the model are the hyperparameters of a module that returns none.

use std::path::PathBuf;

use stormfire_checkpoint::Checkpoint;

use super::*;

/// As [`Line`], without `hparams`.
#[derive(Module, Debug)]
struct Plain {
    layer: Linear,
    #[module(skip)]
    config: LineConfig,
}

impl Plain {
    fn new(config: LineConfig, device: &Device) -> Self {
        Self { layer: LinearConfig::new(config.inputs, 1).init(device), config }
    }
}

impl LightningModule for Plain {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.config.lr).into())
    }
}

/// Batches with two inputs, and hyperparameters of the data.
struct Described(state::Value);

impl DataModule for Described {
    type Batch = (Tensor<2>, Tensor<2>);

    fn train_dataloader(&mut self) -> stormfire_data::Result<Loader<Self::Batch>> {
        let batch = (Tensor::ones([4, 2], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
        Ok(Loader::from_batches(vec![batch]).items_per_batch(4))
    }

    fn hparams(&self) -> stormfire_data::Result<state::Value> {
        Ok(self.0.clone())
    }
}

/// Trains, and returns the folder of the run.
fn trained(root: &Path, of_data: state::Value, args: &[&str]) -> PathBuf {
    let program =
        Cli::new(|config: LineConfig, device: &Device| Ok(Plain::new(config, device)), move |(): ()| Ok(Described(of_data.clone())))
            .alias("quiet", "trainer.enable_progress_bar=false")
            .trainer_defaults(TrainerConfig { max_epochs: Some(1), ..TrainerConfig::default() });
    program.try_run(&in_folder(root.to_str().unwrap(), &[&["--model.inputs=2"], args].concat()), &[]).unwrap();
    root.join("lightning_logs/version_0")
}

#[test]
fn a_checkpoint_builds_the_module_from_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let logs = trained(root, state::Value::Null, &["--model.lr=0.25", "--model.key=geheim"]);
    let checkpoint = walk(&logs.join("checkpoints")).remove(0);
    let load = || Plain::load_from_checkpoint(&checkpoint, |config: LineConfig| Plain::new(config, &Device::flex())).unwrap();
    assert_eq!(load().config, LineConfig { inputs: 2, lr: 0.25, ..LineConfig::default() });
    let weight = |plain: Plain| plain.layer.weight.val().into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(weight(load()), weight(load()), "the weights are those of the file");

    assert_eq!(Checkpoint::read_manifest(&checkpoint).unwrap().hparams, serde_json::json!({ "inputs": 2, "lr": 0.25 }));
    assert_snapshot!(read(logs.join("hparams.yaml")), @r"
    inputs: 2
    lr: 0.25
    ");
    for path in walk(root) {
        assert!(!String::from_utf8_lossy(&fs_err::read(&path).unwrap()).contains("geheim"), "{}", path.display());
    }
}

#[test]
fn hyperparameters_of_the_data_do_not_contradict_options_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let logs = trained(folder.path(), serde_json::json!({ "lr": "warm", "rows": 4 }), &[]);
    let hparams = read(logs.join("hparams.yaml"));
    assert!(hparams.contains("inputs: 2\n") && hparams.contains("lr: warm\n") && hparams.contains("rows: 4\n"), "{hparams}");
}

#[test]
fn a_module_keeps_its_own_hyperparameters() {
    let folder = tempfile::tempdir().unwrap();
    run(program_of(1), folder.path(), &[]).unwrap();
    let hparams = read(folder.path().join("lightning_logs/version_0/hparams.yaml"));
    assert!(hparams.contains("other: 1\n") && !hparams.contains("lr:"), "{hparams}");
}
