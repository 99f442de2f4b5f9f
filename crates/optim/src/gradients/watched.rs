//! Gradients for monitoring: their norms, and all of their elements.

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{DType, Tensor, TensorData},
};
use stormfire_values::{ReadError, read::Tensors};

use crate::float_params::{EachFloat, walk};

/// The norms of one parameter's gradient, on the device, each of shape `[1]`, `f32`.
#[derive(Clone, Debug)]
pub struct Norms {
    /// The path of the parameter, such as `hidden.weight`.
    pub path: String,
    /// The sum of the squares of its elements: the square of the L2 norm.
    pub squares: Tensor<1>,
    /// The maximum absolute value of its elements: the L∞ norm. NaN if an element is NaN.
    pub max: Tensor<1>,
}

/// The norms of each gradient, in the order of the module's fields. Reads nothing from the device.
pub fn norms<M: Module>(gradients: &GradientsParams, module: &M) -> Vec<Norms> {
    struct Collect<'a> {
        gradients: &'a GradientsParams,
        found: Vec<Norms>,
    }
    impl EachFloat for Collect<'_> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
            // The square of a half float easily overflows.
            let gradient = if gradient.dtype() == DType::F32 { gradient } else { gradient.cast(DType::F32) };
            let (squares, max) = (gradient.clone().powi_scalar(2).sum(), gradient.max_abs());
            self.found.push(Norms { path: path.to_string(), squares, max });
        }
    }
    walk(module, Collect { gradients, found: Vec::new() }).found
}

/// Current parameters and their gradients, still on the device. Another thread may read them.
///
/// While this value lives, the device keeps all of them, in addition to those of the next step.
#[derive(Debug, Default)]
pub struct Samples {
    names: Vec<(String, Of)>,
    tensors: Tensors,
}

/// The origin of a set of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A parameter.
    Parameter,
    /// A parameter's gradient.
    Gradient,
}

impl Samples {
    /// Whether the collection is empty.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Reads all samples in one transaction. Returns the path of each parameter, the origin, and the values.
    ///
    /// # Errors
    /// [`ReadError`] if the device fails.
    pub fn read(self) -> Result<Vec<(String, Of, TensorData)>, ReadError> {
        let data = self.tensors.read()?;
        Ok(self.names.into_iter().zip(data).map(|((path, of), data)| (path, of, data)).collect())
    }
}

/// Takes handles of the parameters with a gradient, and of these gradients. Reads nothing from the device.
pub fn samples<M: Module>(gradients: &GradientsParams, module: &M, parameters: bool, of_gradients: bool) -> Samples {
    struct Collect<'a> {
        gradients: &'a GradientsParams,
        parameters: bool,
        of_gradients: bool,
        samples: Samples,
    }
    impl EachFloat for Collect<'_> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
            if self.parameters {
                self.samples.names.push((path.to_string(), Of::Parameter));
                self.samples.tensors.add(param.val());
            }
            if self.of_gradients {
                self.samples.names.push((path.to_string(), Of::Gradient));
                self.samples.tensors.add(gradient);
            }
        }
    }
    walk(module, Collect { gradients, parameters, of_gradients, samples: Samples::default() }).samples
}

#[cfg(test)]
mod tests {
    use burn::{nn::LinearConfig, tensor::Device};
    use stormfire_values::{
        Scalar,
        read::{DistantCpu, device_reads, read},
    };

    use super::*;

    fn of_line(weight: [[f32; 1]; 2], bias: Option<f32>) -> (burn::nn::Linear, GradientsParams) {
        let (device, mut gradients) = (Device::flex(), GradientsParams::new());
        let module = LinearConfig::new(2, 1).init(&device.clone().autodiff());
        gradients.register(module.weight.id, Tensor::<2>::from_floats(weight, &device));
        if let (Some(value), Some(param)) = (bias, &module.bias) {
            gradients.register(param.id, Tensor::<1>::from_floats([value], &device));
        }
        (module, gradients)
    }

    #[test]
    fn norms_are_those_of_each_gradient_and_cost_no_read() {
        let (module, gradients) = of_line([[3.0], [-4.0]], Some(-12.0));
        let _distant = DistantCpu::new();
        let before = device_reads();
        let norms = norms(&gradients, &module);
        assert_eq!(device_reads(), before);
        assert_eq!(norms.iter().map(|norm| norm.path.as_str()).collect::<Vec<_>>(), ["weight", "bias"]);
        let scalars: Vec<_> = norms.into_iter().flat_map(|norm| [norm.squares, norm.max]).map(Scalar::from).collect();
        assert_eq!(read(&scalars).unwrap(), [25.0, 4.0, 144.0, 12.0]);
    }

    #[test]
    fn a_gradient_that_is_not_finite_has_no_finite_norm() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (module, gradients) = of_line([[1.0], [bad]], None);
            let norms = norms(&gradients, &module);
            assert_eq!(norms.len(), 1, "a parameter without a gradient has no norm");
            let values = read(&[norms[0].squares.clone().into(), norms[0].max.clone().into()]).unwrap();
            assert!(values.iter().all(|value| !value.is_finite()), "{bad}: {values:?}");
        }
    }

    #[test]
    fn samples_are_read_at_once() {
        let (module, gradients) = of_line([[3.0], [-4.0]], None);
        let before = device_reads();
        let read = samples(&gradients, &module, true, true).read().unwrap();
        assert_eq!(device_reads() - before, 1);
        let names: Vec<_> = read.iter().map(|(path, of, _)| (path.as_str(), *of)).collect();
        assert_eq!(names, [("weight", Of::Parameter), ("weight", Of::Gradient)]);
        assert_eq!(read[1].2.iter::<f32>().collect::<Vec<_>>(), [3.0, -4.0]);
        assert!(samples(&gradients, &module, false, false).is_empty());
    }
}
