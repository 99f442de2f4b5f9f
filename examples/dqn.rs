//! Deep Q-learning: a network learns to balance a pole on a cart: `cargo run --release --example dqn`.
//!
//! There is no dataset. The loader gives each batch a random generator, and `training_batch` plays a step in eight
//! worlds, remembers it, and learns from steps that it remembers. `val_reward` is the number of steps, of 500, for which
//! the pole stays up. `episode.svg` in the folder of the run shows its angle.

use std::collections::VecDeque;

use burn::{
    nn::{Linear, LinearConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use stormfire::{
    cli::Cli,
    data::{Random, random},
    metrics::picture::{Curves, Line},
    optim::independent_copy,
    prelude::*,
};
use stormfire_examples::save_drawing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The position and speed of the cart, and the angle and speed of the pole.
type World = [f32; 4];

fn new_world(random: &mut Random) -> World {
    [(); 4].map(|()| 0.1 * random.unit() as f32 - 0.05)
}

/// The world 0.02 s later, after a push of the cart: `CartPole-v1` of Gymnasium.
fn pushed([x, speed, angle, turn]: World, right: bool) -> World {
    let force = if right { 10.0 } else { -10.0 };
    let (sin, cos) = angle.sin_cos();
    let push = (force + 0.05 * turn * turn * sin) / 1.1;
    let turning = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1));
    [x + 0.02 * speed, speed + 0.02 * (push - 0.05 * turning * cos / 1.1), angle + 0.02 * turn, turn + 0.02 * turning]
}

fn has_fallen(world: World) -> bool {
    world[0].abs() > 2.4 || world[2].abs() > 0.2095
}

#[derive(Module, Debug)]
struct Values {
    layers: [Linear; 3],
}

impl Values {
    /// The expected rewards `[worlds, 2]` of a push to the left and to the right.
    fn forward(&self, worlds: &[World]) -> Tensor<2> {
        let x = Tensor::<1>::from_floats(worlds.as_flattened(), &self.layers[0].weight.device()).reshape([-1, 4]);
        self.layers[2].forward(relu(self.layers[1].forward(relu(self.layers[0].forward(x)))))
    }

    /// Whether a push to the right is better, for each world.
    fn choose(&self, worlds: &[World]) -> Vec<bool> {
        self.forward(worlds).argmax(1).into_data().iter::<i64>().map(|action| action == 1).collect()
    }

    /// The worlds of an episode, from its start to the fall, or 500 of them.
    fn episode(&self, random: &mut Random) -> Vec<World> {
        let mut worlds = vec![new_world(random)];
        while let [.., world] = worlds[..]
            && worlds.len() < 500
            && !has_fallen(world)
        {
            worlds.push(pushed(world, self.choose(&[world])[0]));
        }
        worlds
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
    /// Worlds before a push, the pushes, and the worlds after it.
    #[module(skip)]
    memory: VecDeque<(World, bool, World)>,
}

impl Dqn {
    fn new(device: &Device) -> Self {
        let online = Values { layers: [[4, 64], [64, 64], [64, 2]].map(|[from, to]| LinearConfig::new(from, to).init(device)) };
        Self { target: independent_copy(&online).freeze(), online, worlds: Vec::new(), memory: VecDeque::new() }
    }

    /// Plays a step in each world. At first the pushes are random, later only some of them.
    fn play(&mut self, random: &mut Random) {
        self.worlds.resize_with(8, || new_world(random));
        let explore = (1.0 - self.global_step() as f64 / 1500.0).max(0.05);
        let pushes = self.online.choose(&self.worlds);
        for (world, right) in self.worlds.iter_mut().zip(pushes) {
            let right = if random.chance(explore) { random.chance(0.5) } else { right };
            let after = pushed(*world, right);
            self.memory.push_back((*world, right, after));
            *world = if has_fallen(after) || random.chance(0.002) { new_world(random) } else { after };
        }
        self.memory.drain(..self.memory.len().saturating_sub(20_000));
    }
}

impl LightningModule for Dqn {
    type Batch = Random;

    fn training_batch(&mut self, mut random: Random, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        self.play(&mut random);
        let steps: Vec<_> = (0..64).map(|_| self.memory[random.below(self.memory.len())]).collect();
        let (before, after): (Vec<_>, Vec<_>) = steps.iter().map(|(before, _, after)| (*before, *after)).unzip();
        // A push, and 1 unless the pole has fallen.
        let numbers: Vec<_> = steps.iter().map(|(_, right, after)| [f32::from(u8::from(*right)), f32::from(u8::from(!has_fallen(*after)))]).collect();
        let numbers = Tensor::<1>::from_floats(numbers.as_flattened(), &self.online.layers[0].weight.device()).reshape([-1, 2]);
        let expected = self.online.forward(&before).gather(1, numbers.clone().narrow(1, 0, 1).int());
        // Double Q-learning: one network chooses the next push, the other one values it.
        let next = self.online.forward(&after).argmax(1);
        let later = self.target.forward(&after).gather(1, next).detach() * numbers.narrow(1, 1, 1);
        let loss = (expected - (later * 0.99 + 1.0)).square().mean();
        self.log("train_loss", &loss).prog_bar(true);
        opt.step("Adam", self, &loss)?;
        if self.global_step().is_multiple_of(100) {
            self.target = independent_copy(&self.online).freeze();
        }
        Ok(StepOutput::none())
    }

    fn validation_step(&self, mut random: Random, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_reward", self.online.episode(&mut random).len() as f64).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).params_of(&self.online).into())
    }
}

fn main() -> Result<Stop> {
    let generators = |count| Loader::from_fn(move |_epoch| (0..count).map(|_| random())).items_per_batch(1);
    Cli::new(|(): (), device: &Device| Ok(Dqn::new(device)), move |(): ()| Ok((generators(500), generators(10))))
        .about("Learns to balance a pole on a cart.")
        .trainer_defaults(TrainerConfig {
            max_epochs: Some(20),
            seed: Some(42),
            gradient_clip_val: Some(10.0),
            num_sanity_val_steps: Some(0),
            ..TrainerConfig::default()
        })
        .trainer(|trainer| trainer.callback(EarlyStopping::new("val_reward").mode("max").patience(20).stopping_threshold(475.0)))
        .after_fit(|trainer, fit, _| {
            let angle = |module: &Values, name: &str| {
                let worlds = module.episode(&mut Random::new(1));
                Line::new(name, worlds.iter().enumerate().map(|(step, world)| (0.02 * step as f64, f64::from(world[2].to_degrees()))))
            };
            let fresh = Dqn::new(&fit.module.online.layers[0].weight.device());
            let lines = [angle(&fresh.online, "before the training"), angle(&fit.module.online.valid(), "after it")];
            save_drawing(trainer.log_dir(), "episode", Curves::new("seconds", "angle of the pole in degrees", lines))
        })
        .run()
}
