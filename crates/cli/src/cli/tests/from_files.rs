//! Callbacks and loggers of files, with all forms of their options.

use super::*;

#[test]
fn a_file_has_every_form_of_an_option() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let file = root.join("a.yaml");
    let callbacks = [
        "{name: model_checkpoint, filename: \"{epoch}\", last_filename: newest, save_top_k: all, save_last: link, enable_version_counter: false}",
        "{name: gradient_norm_monitor, norms: [l2, max]}",
        "{name: optimizer_monitor, of: total}",
        "{name: spike_detection, action: warn, window: 5, mode: max}",
        "{name: model_pruning, amount: 1, structured: {dim: 0, norm: l1}, parameters: layer.weight}",
        "{name: backbone_finetuning, backbone: [layer.bias], unfreeze_at_epoch: 1, lambda: 1.5}",
    ];
    fs_err::write(&file, format!("trainer:\n  max_epochs: 2\n  log_every_n_steps: 1\n  callbacks:\n  - {}\n", callbacks.join("\n  - ")))
        .unwrap();
    run(program_of(2), root, &["-c", file.to_str().unwrap(), "--model.inputs=2"]).unwrap();
    let logs = root.join("lightning_logs/version_0");
    let mut names: Vec<_> = walk(&logs.join("checkpoints")).iter().map(|path| path.file_name().unwrap().display().to_string()).collect();
    names.sort();
    assert_eq!(names, ["epoch=0.ckpt", "epoch=1.ckpt", "newest.ckpt"]);
    #[cfg(unix)]
    assert!(fs_err::symlink_metadata(logs.join("checkpoints/newest.ckpt")).unwrap().is_symlink());
    let table = read(logs.join("metrics.csv"));
    let header = table.lines().next().unwrap();
    let has = |name: &str| header.split(',').any(|column| column == name);
    assert!(has("grad_inf_norm_total") && has("update_ratio_total") && !has("update_ratio/layer") && has("sparsity"), "{header}");
    assert!(read(logs.join("config.yaml")).contains("save_top_k: all, save_last: link, enable_version_counter: false}"));
}

#[cfg(feature = "device-stats")]
#[test]
fn a_file_names_the_monitor_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let callback = "trainer.callbacks=[{name: device_stats_monitor, cpu_stats: true, gpus: []}]";
    run(program_of(1), folder.path(), &[callback, "trainer.log_every_n_steps=1"]).unwrap();
    let table = read(folder.path().join("lightning_logs/version_0/metrics.csv"));
    assert!(table.lines().next().unwrap().contains("DeviceStatsMonitor."), "{table}");
}

#[test]
fn a_form_that_an_option_does_not_have_is_named() {
    let told = |entry: &str| program_of(1).try_run(&[&format!("trainer.callbacks=[{entry}]")], &[]).unwrap_err().to_string();
    assert_snapshot!(told("{name: model_checkpoint, save_top_k: most}"), @"trainer.callbacks: `trainer.callbacks[0].save_top_k`: expected `all`, not the string `most`");
    assert_snapshot!(told("{name: model_checkpoint, save_last: 3}"), @"trainer.callbacks: `trainer.callbacks[0].save_last`: expected `true` or `false` or a string or null, not the number `3`");
    assert_snapshot!(told("{name: spike_detection, action: stp}"), @r"
    trainer.callbacks: `trainer.callbacks[0].action`: expected `warn`, `skip` or `stop`, not the string `stp`
      help: did you mean `stop`?
    ");
    assert_snapshot!(told("{name: spike_detection}"), @r"
    trainer.callbacks: the option `trainer.callbacks[0].action` is missing
      help: it is `warn`, `skip` or `stop`
    ");
}

/// The functions that make callbacks and loggers find them.
#[test]
fn a_mistake_that_a_constructor_finds_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let make = |options: CountOptions| match options.most {
        0 => Err(Error::config("most", "it counts nothing", "use 1 or more")),
        1 => Err(Error::config("Count::new", "one is not enough", "use 2 or more")),
        _ => Ok(Count(options)),
    };
    let told = |option: &str| run(program_of(1).register("count", make), folder.path(), &[option]).unwrap_err().to_string();
    assert_snapshot!(told("trainer.callbacks=[{name: count, most: 0}]"), @r"
    trainer.callbacks: `trainer.callbacks[0].most`: it counts nothing
      help: use 1 or more
    ");
    assert_snapshot!(told("trainer.callbacks=[{name: count, most: 1}]"), @r"
    trainer.callbacks: `trainer.callbacks[0]`: one is not enough
      help: use 2 or more
    ");
    assert_snapshot!(told("trainer.loggers=[{name: csv, version: ../../esc}]"), @r"
    trainer.loggers: `trainer.loggers[0].version`: the version `../../esc` is outside of its folder
      help: give a relative path without `..`; the `save_dir` is the folder of all logs
    ");
    assert_snapshot!(told("trainer.loggers=[{name: tensor_board, experiment: ../esc}]"), @r"
    trainer.loggers: `trainer.loggers[0].experiment`: the name `../esc` is outside of its folder
      help: give a relative path without `..`; the `save_dir` is the folder of all logs
    ");
    assert_eq!(walk(folder.path()), Vec::<std::path::PathBuf>::new());
}
