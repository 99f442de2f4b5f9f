//! Runs, checkpoints and hooks.

use super::*;

type Set = fn(Trainer<Odd>) -> Trainer<Odd>;
type Make = fn() -> Loader<Batch>;

#[test]
fn fast_dev_run_and_overfit_and_barebones_and_profiler() {
    law("", 2, 22, |trainer| trainer.overfit_batches(3));
    law("", 3, 22, |trainer| trainer.overfit_batches(2));
    law("", 2, 22, |trainer| trainer.max_time(std::time::Duration::from_hours(1)));
    let data = || (line_data(22, 2), line_data(7, 2));
    let one = fit("", data(), |trainer| trainer.accumulate_grad_batches(2).fast_dev_run(3)).unwrap();
    let several: Vec<_> = on_ranks(2, "", data, |_, trainer| trainer.fast_dev_run(3)).into_iter().map(|e| e.unwrap()).collect();
    same("fast_dev_run", &one, &several);
    let ended = threads::run(2, |_| Trainer::new().barebones(true).max_epochs(1).fit(Odd::new(""), data()).map(|fit| fit.progress));
    assert!(ended.iter().all(Result::is_ok));
    let ended = threads::run(2, |_| quiet().profiler("simple").max_epochs(1).fit(Odd::new(""), data()).map(|fit| fit.progress));
    assert!(ended.iter().all(Result::is_ok));
}

#[test]
fn monitors_work_on_ranks() {
    let monitors: [(&str, Set); 7] = [
        ("LearningRateMonitor", |t| t.callback(LearningRateMonitor::new())),
        ("ThroughputMonitor", |t| t.callback(ThroughputMonitor::new().batch_size_fn(|b: &Batch| b.0.dims()[0]))),
        ("HistogramMonitor", |t| t.callback(HistogramMonitor::new())),
        ("GradientNormMonitor", |t| t.callback(GradientNormMonitor::new())),
        ("DeviceStatsMonitor", |t| t.callback(DeviceStatsMonitor::new())),
        ("MemoryMonitor", |t| t.callback(MemoryMonitor::new())),
        ("GradientAccumulationScheduler", |t| t.callback(GradientAccumulationScheduler::new([(0, 1), (1, 2)]))),
    ];
    let mut failed = Vec::new();
    for (name, set) in monitors {
        for data in [line_data(12, 2), line_data(13, 2)] {
            let ended = on_ranks(2, "", || (data.clone(), line_data(7, 2)), |_, trainer| set(trainer));
            let mut names: Vec<_> = ended[0].as_ref().map(|e| e.logged.iter().map(|(n, ..)| n.clone()).collect()).unwrap_or_default();
            names.sort();
            names.dedup();
            if ended.iter().any(Result::is_err) {
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn epoch_start_and_validation_hooks_log() {
    let own = || {
        LambdaCallback::new()
            .on_train_start(|ctx, module: &mut Odd| {
                ctx.log("a_train_start", 10.0 * module.global_rank() as f64);
                Ok(())
            })
            .on_train_epoch_start(|ctx, module: &mut Odd| {
                ctx.log("a_train_epoch_start", 10.0 * module.global_rank() as f64);
                Ok(())
            })
            .on_validation_start(|ctx, module: &mut Odd| {
                ctx.log("a_validation_start", 10.0 * module.global_rank() as f64);
                Ok(())
            })
            .on_validation_epoch_start(|ctx, module: &mut Odd| {
                ctx.log("a_validation_epoch_start", 10.0 * module.global_rank() as f64);
                Ok(())
            })
            .on_validation_epoch_end(|ctx, module: &mut Odd| {
                if module.global_rank() == 1 {
                    ctx.log("a_validation_epoch_end", 5.0);
                }
                Ok(())
            })
            .on_train_epoch_end(|ctx, module: &mut Odd| {
                if module.global_rank() == 1 {
                    ctx.log("a_train_epoch_end", 5.0);
                    ctx.log("a_metric_epoch_end", Mean::new(5.0, 1.0));
                }
                Ok(())
            })
    };
    let two = on_ranks(2, "", || (line_data(12, 2), line_data(7, 2)), |_, t| t.callback(own()).max_epochs(2)).remove(0).unwrap();
    let found: Vec<_> = two.logged.iter().filter(|(n, ..)| n.starts_with("a_")).collect();
    assert!(found.iter().all(|(.., v)| (*v - 5.0).abs() < 1e-12), "{found:?}");
    assert!(found.len() >= 7 + 6, "{found:?}");
}

#[test]
fn early_stopping_and_best_checkpoints_are_those_of_one_rank() {
    let root = tempfile::tempdir().unwrap();
    let run = |name: &str, world: usize| {
        let folder = root.path().join(name);
        let body = |trainer: Trainer<Odd>| {
            trainer
                .enable_checkpointing(true)
                .max_epochs(8)
                .callback(EarlyStopping::new("val").patience(2))
                .callback(ModelCheckpoint::new().dirpath(&folder).monitor("val").save_top_k(2).filename("{epoch}-{step}-{val:.4f}"))
        };
        let data = || (line_data(14, 2), line_data(7, 2));
        if world == 1 {
            vec![fit("", data(), |t| body(t.accumulate_grad_batches(2))).unwrap()]
        } else {
            on_ranks(world, "", data, |_, t| body(t)).into_iter().map(|e| e.unwrap()).collect()
        }
    };
    let one = run("one", 1);
    let two = run("two", 2);
    same("early stopping", &one[0], &two);
    assert_eq!(crate::files::names(&root.path().join("one")), crate::files::names(&root.path().join("two")));
}

#[test]
fn default_loggers_write_the_same_csv() {
    let root = tempfile::tempdir().unwrap();
    let run = |name: &str, window: usize| {
        let folder = root.path().join(name);
        let mut trainer = Trainer::new().default_root_dir(&folder).enable_progress_bar(false).enable_model_summary(false);
        trainer = trainer.max_epochs(2).accumulate_grad_batches(window).handle_signals(false).log_every_n_steps(2);
        trainer.fit(Odd::new("odd values"), (line_data(11, 2), line_data(7, 2))).map(drop)
    };
    run("one", 2).unwrap();
    for ended in threads::run(2, |_| run("two", 1)) {
        ended.unwrap();
    }
    let csv = |name: &str| std::fs::read_to_string(root.path().join(name).join("lightning_logs/version_0/metrics.csv")).unwrap();
    let round = |text: String| {
        text.lines()
            .map(|line| {
                line.split(',').map(|cell| cell.parse::<f64>().map_or(cell.to_owned(), |n| format!("{n:.5}"))).collect::<Vec<_>>().join(",")
            })
            .collect::<Vec<_>>()
    };
    // Only the epoch columns, in any order.
    let epochs = |rows: Vec<String>| {
        let cells: Vec<Vec<String>> = rows.iter().map(|row| row.split(',').map(str::to_owned).collect()).collect();
        let mut columns: Vec<Vec<String>> = (0..cells[0].len()).map(|i| cells.iter().map(|row| row[i].clone()).collect()).collect();
        columns.retain(|column| !column[0].ends_with("_step"));
        columns.sort();
        columns.into_iter().map(|column| column.join(" ")).collect::<Vec<_>>()
    };
    let (one, two) = (epochs(round(csv("one"))), epochs(round(csv("two"))));
    assert_eq!(one, two);
}

#[test]
fn a_failure_resumes_with_the_running_statistics_of_all_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let run = |set: &(dyn Fn(Trainer<Net>) -> Trainer<Net> + Sync)| {
        threads::run(2, |_| {
            let trainer = set(quiet().max_epochs(1).handle_signals(false));
            let fit = { trainer }.fit(Net::new().normalised().of_its_own(), digits(48, 4))?;
            Ok::<_, Error>(devices::values(&fit.module))
        })
    };
    let whole = run(&|t| t).remove(0).unwrap();
    let failed = run(&|t| t.callback(Fails(3)).callback(OnExceptionCheckpoint::new(folder.path())));
    assert!(failed.iter().all(Result::is_err));
    let path = folder.path().join("on_exception.ckpt");
    let resumed = run(&|t| t.ckpt_path(path.as_path())).remove(0).unwrap();
    let range = Net::running_mean();
    let difference =
        |range: std::ops::Range<usize>| whole[range.clone()].iter().zip(&resumed[range]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference(range.clone()) < 1e-6, "running mean: {}", difference(range));
}

#[test]
fn a_checkpoint_does_not_change_the_running_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let run = |saves: bool| {
        threads::run(2, |_| {
            let mut trainer = quiet().max_epochs(1).handle_signals(false);
            if saves {
                let save =
                    ModelCheckpoint::new().dirpath(folder.path()).every(Every::Steps(1)).save_top_k(SaveTopK::All).filename("{step}");
                trainer = trainer.enable_checkpointing(true).callback(save);
            }
            let fit = trainer.fit(Net::new().normalised().of_its_own(), digits(20, 4))?;
            Ok::<_, Error>(devices::values(&fit.module))
        })
        .remove(0)
        .unwrap()
    };
    let (without, with) = (run(false), run(true));
    let difference = Net::running_mean().map(|i| (without[i] - with[i]).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-6, "{difference}");
}

#[test]
fn an_average_of_the_weights_is_the_same_on_all_ranks() {
    for items in [12, 14] {
        let data = || (line_data(items, 2), line_data(8, 2));
        let one = fit("", data(), |t| t.accumulate_grad_batches(2).callback(Ema::default())).unwrap();
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let two = on_ranks(2, "", data, |_, t| t.callback(Ema { seen: Arc::clone(&seen), ..Ema::default() }));
        let two: Vec<_> = two.into_iter().map(|e| e.unwrap()).collect();
        same(&format!("ema, {items} items"), &one, &two);
    }
}

#[test]
fn predictions_of_several_loaders_with_a_limit() {
    for world in [2, 3] {
        let data = || [line_data(9, 2), line_data(3, 2), line_data(14, 2)];
        let loaders = || Loaders::from(data());
        let whole = quiet().handle_signals(false).limit_predict_batches(4).predict(&Odd::new(""), loaders()).unwrap();
        let parts = threads::run(world, |_| quiet().handle_signals(false).limit_predict_batches(4).predict(&Odd::new(""), loaders()));
        let parts: Vec<_> = parts.into_iter().map(|p| p.unwrap()).collect();
        for (loader, whole) in whole.iter().enumerate() {
            for (rank, part) in parts.iter().enumerate() {
                let expected: Vec<_> = whole.iter().skip(rank).step_by(world).cloned().collect();
                assert_eq!(part[loader], expected, "loader {loader}, rank {rank} of {world}");
            }
        }
    }
}

#[test]
fn a_trainer_fits_tests_and_fits_again() {
    let root = tempfile::tempdir().unwrap();
    let ended = threads::run(2, |_| {
        let mut trainer = Trainer::new().default_root_dir(root.path()).enable_progress_bar(false).enable_model_summary(false).max_epochs(2);
        trainer = trainer.handle_signals(false).callback(ModelCheckpoint::new().monitor("val").save_top_k(1));
        let data = || (line_data(14, 2), line_data(7, 2));
        let fit = trainer.fit(Odd::new(""), data())?;
        trainer.set_ckpt_path("best");
        let best = trainer.test(&fit.module, line_data(9, 2))?;
        let fit2 = quiet().max_epochs(1).fit(fit.module.clone(), data())?;
        trainer.set_max_epochs(3);
        let again = trainer.fit_further(fit.module.clone(), data())?;
        trainer.save_checkpoint(&again.module, root.path().join("end.ckpt"))?;
        let dir = trainer.log_dir().map(Path::to_path_buf);
        Ok::<_, Error>((format!("{best:?}"), devices::values(&fit2.module), devices::values(&again.module), again.progress, dir))
    });
    let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
    assert_eq!(ended[0], ended[1]);
    assert!(root.path().join("end.ckpt").exists());
}

#[test]
fn a_nested_fit_in_a_hook() {
    let own = || {
        LambdaCallback::new().on_train_epoch_end(|_ctx, _module: &mut Odd| {
            quiet().max_epochs(1).handle_signals(false).fit(Line::fixed(), line_data(10, 2)).map(drop)
        })
    };
    let ended = on_ranks(2, "", || (line_data(14, 2), line_data(6, 2)), |_, t| t.callback(own()));
    let plain = on_ranks(2, "", || (line_data(14, 2), line_data(6, 2)), |_, t| t);
    assert_eq!(ended[1].as_ref().unwrap().weights, plain[0].as_ref().unwrap().weights);
    // On rank 0 alone.
    let own = || {
        LambdaCallback::new().on_train_epoch_end(|_ctx, module: &mut Odd| {
            if module.global_rank() > 0 {
                return Ok(());
            }
            quiet().handle_signals(false).test(&Line::fixed(), line_data(10, 2)).map(drop)
        })
    };
    let ended = on_ranks(2, "", || (line_data(14, 2), line_data(6, 2)), |_, t| t.callback(own()));
    assert!(ended.iter().all(Result::is_err));
}

#[test]
fn other_types_of_numbers() {
    use burn::tensor::DType;
    for dtype in [DType::F64, DType::BF16, DType::F16] {
        for items in [14, 16] {
            let run = |window: usize| {
                let logger = MemoryLogger::new();
                let mut trainer = recording(&logger).max_epochs(2).accumulate_grad_batches(window).handle_signals(false);
                let fit = trainer.fit(Typed::new(dtype), line_data(items, 2))?;
                let bits = [&fit.module.layer, &fit.module.other]
                    .map(|l| format!("{:?} {:?}", l.weight.val().dtype(), l.weight.val().into_data().iter::<f64>().collect::<Vec<_>>()));
                Ok::<_, Error>((bits, logger.rows()))
            };
            let one = run(2).map_err(|e| e.to_string());
            let two: Vec<_> = threads::run(2, |_| run(1)).into_iter().map(|e| e.map_err(|e| e.to_string())).collect();
            assert_eq!(one.map(|o| o.0), two[0].clone().map(|o| o.0), "{dtype:?}");
            assert_eq!(two[1].clone().map(|o| o.0), two[0].clone().map(|o| o.0), "{dtype:?}");
        }
    }
}

#[test]
fn combined_loaders() {
    use stormfire::data::CombinedLoader;
    let makers: [(&str, Make); 3] = [
        ("sequential", || CombinedLoader::sequential([line_data(6, 2), line_data(9, 2)])),
        ("min", || CombinedLoader::min_size([line_data(10, 2), line_data(14, 2)]).map(|mut v: Vec<Batch>| v.remove(0))),
        ("max", || CombinedLoader::max_size_cycle([line_data(10, 2), line_data(14, 2)]).map(|mut v: Vec<Batch>| v.remove(0))),
    ];
    for (name, make) in makers {
        let one = fit("", make(), |t| t.accumulate_grad_batches(2)).unwrap();
        let two: Vec<_> = on_ranks(2, "", make, |_, t| t).into_iter().map(|e| e.unwrap()).collect();
        same(name, &one, &two);
    }
}
