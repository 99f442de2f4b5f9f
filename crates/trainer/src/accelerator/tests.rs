use super::*;

#[test]
fn text_and_json_round_trip() {
    let names = [
        (Accelerator::Auto, "auto"),
        (Accelerator::Cpu, "cpu"),
        (Accelerator::Gpu, "gpu"),
        (Accelerator::Cuda(0), "cuda"),
        (Accelerator::Cuda(1), "cuda:1"),
        (Accelerator::Wgpu, "wgpu"),
        (Accelerator::Vulkan, "vulkan"),
        (Accelerator::Metal, "metal"),
    ];
    for (accelerator, text) in names {
        assert_eq!(accelerator.to_string(), text);
        assert_eq!(text.parse(), Ok(accelerator));
        let json = serde_json::to_string(&accelerator).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Accelerator>(&json).unwrap(), accelerator);
    }
    assert_eq!("CUDA:0".parse(), Ok(Accelerator::Cuda(0)));
    assert_eq!(Accelerator::Cuda(3).name(), "cuda");
}

#[test]
fn wrong_names_are_refused_with_the_right_ones() {
    let errors = ["", "tpu", "gpu:0", "cuda:", "cuda:x", "cuda:-1", "cpu:0", " cpu"].map(|text| {
        let error = text.parse::<Accelerator>().unwrap_err();
        assert!(serde_json::from_str::<Accelerator>(&format!("\"{text}\"")).is_err(), "{text}");
        format!("{error}\n  hint: {}", error.hint().unwrap())
    });
    insta::assert_snapshot!(errors.join("\n"), @r"
    unknown accelerator ``; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator `tpu`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator `gpu:0`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator `cuda:`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator `cuda:x`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator `cuda:-1`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator `cpu:0`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    unknown accelerator ` cpu`; write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
      hint: it is not a known kind of hardware
    ");
}

#[test]
fn auto_is_the_cpu_without_a_device_node() {
    assert_eq!(best(Hints { cuda: false, graphics: false }), Accelerator::Cpu);
}

#[test]
fn cpu_is_always_available_and_works() {
    assert!(Accelerator::available().contains(&Accelerator::Cpu));
    assert_eq!(Accelerator::Cpu.device(), Ok(Device::flex()));
}

/// Holds with and without hardware: listed devices can be opened, others are refused with the list and a remedy.
#[test]
fn a_named_accelerator_is_found_or_refused() {
    let available = Accelerator::available();
    for accelerator in [Accelerator::Cuda(0), Accelerator::Cuda(99), Accelerator::Wgpu, Accelerator::Vulkan, Accelerator::Metal] {
        match accelerator.device() {
            Ok(device) => {
                assert!(available.contains(&accelerator), "{accelerator}");
                assert_eq!(Some(device), accelerator.handle());
            }
            Err(error) => {
                assert!(!available.contains(&accelerator), "{accelerator}");
                let text = error.to_string();
                assert!(text.contains(&format!("`{accelerator}`")), "{text}");
                assert!(error.hint().is_some());
            }
        }
    }
}

/// Holds with and without hardware.
#[test]
fn a_gpu_is_the_one_of_auto_or_refused() {
    let available = Accelerator::available();
    let best = available.iter().take_while(|accelerator| **accelerator != Accelerator::Cpu).find(|gpu| GPUS.contains(gpu));
    match (Accelerator::Gpu.device(), best) {
        (Ok(device), Some(best)) => assert_eq!(Some(device), best.handle()),
        (Err(error), None) => assert!(error.hint().is_some(), "{error}"),
        (found, best) => panic!("{found:?} and {best:?}"),
    }
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
#[test]
fn a_gpu_without_its_features_is_refused_with_the_cure() {
    let error = Accelerator::Gpu.device().unwrap_err();
    insta::assert_snapshot!(format!("{error}\n  hint: {}", error.hint().unwrap()), @r"
    accelerator `gpu` needs the cargo feature `cuda` or `wgpu`, which this program was built without (available here: `cpu`)
      hint: build with `cargo … --features cuda` for a GPU of NVIDIA, with `--features wgpu` for others, or choose `auto`
    ");
    // Another rank of the machine gets the same answer.
    assert_eq!(Accelerator::Gpu.of_rank(1).device().unwrap_err(), error);
}

#[test]
fn every_error_names_what_failed_and_the_cure() {
    let available = vec![Accelerator::Cuda(0), Accelerator::Cpu];
    let cases = [
        (
            AcceleratorError::NoHardware { accelerator: Accelerator::Cuda(1), available: available.clone() },
            "no device for accelerator `cuda:1` on this machine (available here: `cuda`, `cpu`)",
            "nvidia-smi",
        ),
        (
            AcceleratorError::NoHardware { accelerator: Accelerator::Wgpu, available: available.clone() },
            "no device for accelerator `wgpu` on this machine (available here: `cuda`, `cpu`)",
            "apt-get install mesa-vulkan-drivers",
        ),
        (
            AcceleratorError::NoHardware { accelerator: Accelerator::Metal, available },
            "no device for accelerator `metal` on this machine (available here: `cuda`, `cpu`)",
            "Apple",
        ),
        (
            AcceleratorError::NoHardware { accelerator: Accelerator::Gpu, available: vec![Accelerator::Cpu] },
            "no device for accelerator `gpu` on this machine (available here: `cpu`)",
            "is its driver installed?",
        ),
        (
            AcceleratorError::BrokenDriver { accelerator: Accelerator::Cuda(0), fault: "out of memory".to_owned() },
            "the driver of accelerator `cuda` is broken: out of memory",
            "nvidia-smi",
        ),
        (
            AcceleratorError::BrokenDriver { accelerator: Accelerator::Vulkan, fault: "`llvmpipe`: signal: 11 (SIGSEGV)".to_owned() },
            "the driver of accelerator `vulkan` is broken: `llvmpipe`: signal: 11 (SIGSEGV)",
            if cfg!(feature = "vulkan") { "without `vulkan`" } else { "update the driver" },
        ),
        (
            AcceleratorError::DefaultDevice(Accelerator::Cuda(0)),
            "burn's default device is `cuda`, which does not work on this machine, and restoring an optimizer uses it",
            "BURN_DEVICE=flex",
        ),
        (AcceleratorError::BurnDevice("x".to_owned()), "burn refuses `BURN_DEVICE=x`", "unset"),
    ];
    for (error, text, cure) in cases {
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().contains(cure), "{error}");
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_missing_feature_is_named_with_its_cure() {
    let error = Accelerator::Cuda(1).device().unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("accelerator `cuda:1` needs the cargo feature `cuda`, which this program was built without (available here: "),
        "{text}"
    );
    assert!(text.contains("`cpu`"), "{text}");
    assert_eq!(error.hint().unwrap(), "build with `cargo … --features cuda`, or choose `auto`");
}

#[test]
fn the_default_device_of_burn_agrees_with_the_hardware() {
    let checked = check_default_device();
    // CI does not set `BURN_DEVICE`. Then the default is the first compiled backend, and that of the CPU is always
    // usable.
    if Device::default() == Device::flex() {
        assert_eq!(checked, Ok(()));
    } else {
        let present = Accelerator::available().iter().any(|accelerator| accelerator.handle() == Some(Device::default()));
        assert_eq!(checked.is_ok(), present);
    }
}

#[test]
fn a_device_is_described_as_it_is_chosen() {
    assert_eq!(describe(&Device::flex()), "cpu");
    assert_eq!(describe(&Device::flex().autodiff()), "cpu");
    let cases = [
        ("Device<Cube(Cuda(CudaDevice { index: 1 }))>", "cuda:1"),
        ("Device<Cube(Wgpu(DiscreteGpu(0)))>", "wgpu:0"),
        ("Device<Cube(Wgpu(Cpu))>", "wgpu"),
        ("Device<Something(New)>", "Device<Something(New)>"),
    ];
    for (debug, expected) in cases {
        assert_eq!(described(debug), expected);
    }
}

#[test]
fn ranks_of_a_machine_have_a_gpu_each() {
    for (given, rank, expected) in [
        (Accelerator::Cuda(0), 0, Accelerator::Cuda(0)),
        (Accelerator::Cuda(0), 2, Accelerator::Cuda(2)),
        (Accelerator::Cuda(1), 2, Accelerator::Cuda(3)),
        (Accelerator::Cpu, 2, Accelerator::Cpu),
        (Accelerator::Wgpu, 1, Accelerator::Wgpu),
        (Accelerator::Auto, 0, Accelerator::Auto),
        (Accelerator::Gpu, 0, Accelerator::Gpu),
    ] {
        assert_eq!(given.of_rank(rank), expected, "{given} for rank {rank}");
    }
}
