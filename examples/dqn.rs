//! Deep Q-learning: a network learns to balance a pole on a cart: `cargo run --release --example dqn`.
//!
//! A batch is only a random generator: `training_batch` plays a step in eight worlds, and learns from steps that it
//! remembers. The best network keeps the pole up for 500 of 500 steps (`val_reward`). `episode.svg` shows its angle.

use std::collections::VecDeque;

use burn::{
    nn::{Linear, LinearConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use stormfire::{cli::Cli, data::Random, metrics::picture::Curves, metrics::picture::Line, optim::independent_copy, prelude::*};
use stormfire_examples::save_drawing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The position and speed of the cart, and the angle and speed of the pole.
type World = [f32; 4];
fn new_world(random: &mut Random) -> World {
    [(); 4].map(|()| 0.1 * random.unit() as f32 - 0.05)
}

/// The world 0.02 s later, after a push of the cart to the left (0) or right (1): `CartPole-v1` of Gymnasium.
fn pushed([x, speed, angle, turn]: World, push: f32) -> World {
    let (sin, cos) = angle.sin_cos();
    let force = (20.0 * push - 10.0 + 0.05 * turn * turn * sin) / 1.1;
    let turning = (9.8 * sin - cos * force) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1));
    [x + 0.02 * speed, speed + 0.02 * (force - 0.05 * turning * cos / 1.1), angle + 0.02 * turn, turn + 0.02 * turning]
}

fn has_fallen(world: World) -> bool {
    world[0].abs() > 2.4 || world[2].abs() > 0.2095
}

#[derive(Module, Debug)]
struct Values {
    layers: [Linear; 3],
}

impl Values {
    fn rows<const N: usize>(&self, rows: &[[f32; N]]) -> Tensor<2> {
        Tensor::<1>::from_floats(rows.as_flattened(), &self.layers[0].weight.device()).reshape([rows.len(), N])
    }

    /// The expected rewards `[worlds, 2]` of a push to the left and to the right, for worlds `[worlds, 4]`.
    fn forward(&self, worlds: Tensor<2>) -> Tensor<2> {
        let limits = Tensor::<1>::from_floats([2.5, 2.0, 0.2, 2.0], &worlds.device()).unsqueeze();
        self.layers[2].forward(relu(self.layers[1].forward(relu(self.layers[0].forward(worlds / limits)))))
    }

    fn better_pushes(&self, worlds: &[World]) -> Vec<f32> {
        self.forward(self.rows(worlds)).argmax(1).into_data().iter::<f32>().collect()
    }

    /// The worlds of an episode: until the pole has fallen, at most 500.
    fn episode(&self, random: &mut Random) -> Vec<World> {
        let next = |world: &World| (!has_fallen(*world)).then(|| pushed(*world, self.better_pushes(&[*world])[0]));
        std::iter::successors(Some(new_world(random)), next).take(500).collect()
    }
}

#[derive(Module, Debug)]
struct Dqn {
    online: Values,
    /// An older copy, which gives steadier targets.
    target: Values,
    /// The worlds that are played. A checkpoint has neither them nor the memory: a resumed run starts others.
    #[module(skip)]
    worlds: Vec<World>,
    /// A world, the push, the next world, and 1 if the pole still stands.
    #[module(skip)]
    memory: VecDeque<[f32; 10]>,
}

impl Dqn {
    fn new(device: &Device) -> Self {
        let online = Values { layers: [[4, 64], [64, 64], [64, 2]].map(|[from, to]| LinearConfig::new(from, to).init(device)) };
        Self { target: independent_copy(&online).freeze(), online, worlds: Vec::new(), memory: VecDeque::new() }
    }

    /// Plays a step in each world. At first the pushes are random, later only some of them.
    fn play(&mut self, random: &mut Random) {
        self.worlds.resize_with(8, || new_world(random));
        let explore = (1.0 - self.global_step() as f64 / 2000.0).max(0.05);
        let pushes = self.online.better_pushes(&self.worlds);
        for (world, push) in self.worlds.iter_mut().zip(pushes) {
            let push = if random.chance(explore) { random.below(2) as f32 } else { push };
            let ([a, b, c, d], after @ [e, f, g, h]) = (*world, pushed(*world, push));
            self.memory.push_back([a, b, c, d, push, e, f, g, h, if has_fallen(after) { 0.0 } else { 1.0 }]);
            *world = if has_fallen(after) || random.chance(0.002) { new_world(random) } else { after };
        }
        self.memory.drain(..self.memory.len().saturating_sub(20_000));
    }
}

impl LightningModule for Dqn {
    type Batch = Random;

    fn training_batch(&mut self, mut random: Random, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        self.play(&mut random);
        let steps = self.online.rows(&[(); 64].map(|()| self.memory[random.below(self.memory.len())]));
        let part = |start, length| steps.clone().narrow(1, start, length);
        let expected = self.online.forward(part(0, 4)).gather(1, part(4, 1).int());
        // Double Q-learning: one network chooses the next push, the other one values it.
        let next = self.online.forward(part(5, 4)).argmax(1);
        let later = self.target.forward(part(5, 4)).gather(1, next).detach() * part(9, 1);
        let loss = (expected - (later * 0.99 + 1.0)).square().mean();
        self.log("train_loss", &loss).prog_bar(true);
        opt.step("Adam", self, &loss)?;
        if self.global_step().is_multiple_of(100) {
            self.target = independent_copy(&self.online).freeze();
        }
        Ok(StepOutput::none())
    }

    fn validation_step(&self, mut random: Random, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_reward", self.online.episode(&mut random).len()).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let schedule = OneCycle::new(1e-3, self.estimated_stepping_batches().unwrap_or(6000));
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).schedule(Schedule::new(schedule).every("1 step")).params_of(&self.online).into())
    }
}

fn main() -> Result<Stop> {
    let generators = |count| Loader::from_fn(move |_epoch| (0..count).map(|_| stormfire::data::random())).items_per_batch(1);
    Cli::new(|(): (), device: &Device| Ok(Dqn::new(device)), move |(): ()| Ok((generators(500), generators(10))))
        .about("Learns to balance a pole on a cart.")
        .trainer_defaults(TrainerConfig { max_epochs: Some(12), seed: Some(42), num_sanity_val_steps: Some(0), ..TrainerConfig::default() })
        .trainer(|trainer| trainer.callback(EarlyStopping::new("val_reward").mode("max").patience(20).stopping_threshold(375.0)))
        .trainer(|trainer| trainer.callback(ModelCheckpoint::new().monitor("val_reward").mode("max")))
        .after_fit(|trainer, fit, data| {
            let best = trainer.get::<ModelCheckpoint>().and_then(ModelCheckpoint::best_model_path);
            let best = best.map(|path| fit.module.clone().load_weights(path, &LoadOptions::new())).transpose()?;
            let best = best.map_or_else(|| fit.module.clone(), |(best, _)| best);
            trainer.validate(&best, data)?;
            let worlds = best.online.valid().episode(&mut Random::new(1));
            let angles = worlds.iter().enumerate().map(|(step, world)| (0.02 * step as f64, f64::from(world[2].to_degrees())));
            save_drawing(trainer.log_dir(), "episode", Curves::new("seconds", "angle of the pole in degrees", [Line::new("", angles)]))
        })
        .run()
}
