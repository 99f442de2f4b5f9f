//! Trains a GAN on points on a ring, with two optimizers: `cargo run --release --example gan`.
//!
//! The data is endless and generated on the fly: eight small Gaussians on the unit circle. The training takes about
//! half a minute on one core. Real points (grey) and generated points (red) are drawn to `samples.png` in the folder of
//! the run, and during the run to TensorBoard.

use std::f64::consts::TAU;

use burn::{
    nn::{Linear, LinearConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::{Distribution, activation},
};
use stormfire::{cli::Cli, loggers::Image, prelude::*};
use stormfire_examples::{save_image, scatter};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MODES: usize = 8;
const DEVIATION: f64 = 0.05;
const NOISE: usize = 16;

/// Points of the ring, shape `[points, 2]`.
fn ring(points: usize, device: &Device) -> Tensor<2> {
    let angle = Tensor::<2>::random([points, 1], Distribution::Uniform(0.0, MODES as f64), device).floor() * (TAU / MODES as f64);
    let centers = Tensor::cat(vec![angle.clone().cos(), angle.sin()], 1);
    centers + Tensor::random([points, 2], Distribution::Normal(0.0, DEVIATION), device)
}

#[derive(Module, Debug)]
struct Mlp {
    hidden: [Linear; 2],
    output: Linear,
}

impl Mlp {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self { hidden: [linear(inputs, 128), linear(128, 128)], output: linear(128, outputs) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.hidden.iter().fold(x, |x, linear| activation::leaky_relu(linear.forward(x), 0.2)))
    }
}

#[derive(Module, Debug)]
struct Gan {
    generator: Mlp,
    critic: Mlp,
}

impl Gan {
    fn generate(&self, points: usize, device: &Device) -> Tensor<2> {
        self.generator.forward(Tensor::random([points, NOISE], Distribution::Normal(0.0, 1.0), device))
    }
}

impl LightningModule for Gan {
    type Batch = Tensor<2>;

    fn training_batch(&mut self, real: Tensor<2>, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let fake = self.generate(real.dims()[0], &real.device());
        let on_real = activation::softplus(-self.critic.forward(real), 1.0);
        let on_fake = activation::softplus(self.critic.forward(fake.clone().detach()), 1.0);
        let loss = on_real.mean() + on_fake.mean();
        self.log("critic_loss", &loss).prog_bar(true);
        opt.step("critic", self, &loss)?;

        let loss = activation::softplus(-self.critic.forward(fake), 1.0).mean();
        self.log("generator_loss", &loss).prog_bar(true);
        opt.step("generator", self, &loss)?;
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let adam = || Optimizer::new(AdamConfig::new().with_beta_1(0.5), 1e-3);
        Ok([adam().named("generator").params_of(&self.generator), adam().named("critic").params_of(&self.critic)].into())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.global_step().is_multiple_of(500) {
            let samples = Samples::draw(self, 1000);
            ctx.log("on_ring", samples.on_ring()).prog_bar(true);
            ctx.log("modes", samples.modes() as f64).prog_bar(true);
            ctx.log_image("samples", samples.image()?)?;
        }
        Ok(())
    }
}

/// Real and generated points, read from the device.
struct Samples {
    real: Vec<[f32; 2]>,
    generated: Vec<[f32; 2]>,
}

impl Samples {
    fn draw(gan: &Gan, points: usize) -> Self {
        let device = &gan.generator.output.weight.device();
        let read = |points: Tensor<2>| points.into_data().iter::<f32>().collect::<Vec<_>>().as_chunks().0.to_vec();
        Self { real: read(ring(points, device)), generated: read(gan.generate(points, device)) }
    }

    /// For each mode, the number of generated points within three standard deviations of its center.
    fn per_mode(&self) -> [usize; MODES] {
        std::array::from_fn(|mode| {
            let (y, x) = (TAU * mode as f64 / MODES as f64).sin_cos();
            self.generated.iter().filter(|[px, py]| (f64::from(*px) - x).hypot(f64::from(*py) - y) < 3.0 * DEVIATION).count()
        })
    }

    /// The fraction of generated points that are in a mode.
    fn on_ring(&self) -> f64 {
        self.per_mode().iter().sum::<usize>() as f64 / self.generated.len() as f64
    }

    /// The number of modes with at least a quarter of their share of points.
    fn modes(&self) -> usize {
        self.per_mode().iter().filter(|&&points| points * MODES * 4 >= self.generated.len()).count()
    }

    fn image(&self) -> Result<Image> {
        scatter(&[(&self.real, [160, 160, 160]), (&self.generated, [220, 50, 47])])
    }
}

fn main() -> Result<Stop> {
    Cli::linked(
        |(): (), _, device: &Device| Ok(Gan { generator: Mlp::new(NOISE, 2, device), critic: Mlp::new(2, 1, device) }),
        |(): (), device: &Device| {
            let device = device.clone();
            Ok(Loader::from_fn(move |_epoch| {
                let device = device.clone();
                std::iter::repeat_with(move || ring(256, &device))
            }))
        },
    )
    .about("Trains a GAN on points on a ring.")
    .trainer_defaults(TrainerConfig { max_steps: Some(4000), seed: Some(42), ..TrainerConfig::default() })
    .after_fit(|trainer, fit, _| {
        let samples = Samples::draw(&fit.module, 2000);
        println!("{:.1}% of the generated points are on the ring, in {} of {MODES} places", 100.0 * samples.on_ring(), samples.modes());
        save_image(trainer.log_dir(), "samples", &samples.image()?)
    })
    .run()
}
