//! Averaged values of the parameters of a module.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Float, Tensor},
};
use stormfire_module::{Error, Result, for_trainer::KnownStats, state::Saved};
use stormfire_optim::float_params::{EachFloat, walk};
use stormfire_values::read::without_halves;

/// Averages by parameter.
#[derive(Default)]
pub(super) struct Averages {
    slots: HashMap<ParamId, Slot>,
    /// The running statistics that [`fix`](Self::fix) has set, until the next update.
    fixed: Vec<ParamId>,
}

struct Slot {
    path: String,
    value: Box<dyn Held>,
    /// Whether the value is an average. Otherwise it is the handle of a value that has not been trained yet.
    is_averaged: bool,
}

/// A float tensor of any rank.
trait Held: Any {
    fn add_to(&self, saved: Saved, name: String) -> Saved;
}

/// `None` only while it is updated.
impl<const D: usize> Held for Option<Tensor<D>> {
    fn add_to(&self, saved: Saved, name: String) -> Saved {
        self.iter().fold(saved, |saved, tensor| saved.with_tensor(name.clone(), tensor))
    }
}

fn held<const D: usize>(value: &mut Box<dyn Held>) -> Option<&mut Option<Tensor<D>>> {
    let any: &mut dyn Any = &mut **value;
    any.downcast_mut()
}

/// The value, and whether it is trained.
fn plain<const D: usize>(param: &Param<Tensor<D>>) -> (Tensor<D>, bool) {
    let tensor = param.val();
    let trains = tensor.is_require_grad();
    (if tensor.is_autodiff() { tensor.inner() } else { tensor }, trains)
}

/// `old + (new - old) · share`, not in half floats, which would lose small changes. Changes `old` in place, if it has
/// no other handle.
fn mixed<const D: usize>(old: Tensor<D>, new: Tensor<D>, share: f64) -> Tensor<D> {
    let change = without_halves(new).sub(old.clone()).mul_scalar(share);
    old.add(change)
}

/// The name in a state.
fn name_of(path: &str, is_averaged: bool) -> String {
    format!("{}/{path}", if is_averaged { "averaged" } else { "untrained" })
}

impl Averages {
    /// Moves the averages by this share towards the values of a module. `all` also averages running statistics and
    /// frozen parameters.
    pub(super) fn update<M: Module>(&mut self, module: &M, share: f64, all: bool) {
        struct Update<'a> {
            slots: &'a mut HashMap<ParamId, Slot>,
            share: f64,
            copies: bool,
            all: bool,
            found_new: bool,
        }
        impl ModuleVisitor for Update<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let (new, trains) = plain(param);
                let trains = (self.all || trains) && new.dtype().is_float();
                let Some(slot) = self.slots.get_mut(&param.id) else {
                    let value = Box::new(Some(if trains { without_halves(new) } else { new }));
                    self.slots.insert(param.id, Slot { path: String::new(), value, is_averaged: trains });
                    self.found_new = true;
                    return;
                };
                slot.is_averaged |= trains;
                let Some(place) = held::<D>(&mut slot.value) else { return };
                *place = Some(match place.take() {
                    _ if !slot.is_averaged => new,
                    Some(old) if !self.copies && old.dims() == new.dims() => mixed(without_halves(old), new, self.share),
                    _ => without_halves(new),
                });
            }
        }
        for id in self.fixed.drain(..) {
            self.slots.remove(&id);
        }
        let mut update = Update { slots: &mut self.slots, share, copies: share.to_bits() == 1.0_f64.to_bits(), all, found_new: false };
        // A step only notes what it has seen of running statistics. burn adds that when a module leaves training.
        if all {
            module.valid().visit(&mut update);
        } else {
            module.visit(&mut update);
        }
        if update.found_new {
            self.find_paths(module);
        }
    }

    /// The paths of new parameters. Parameters that the module no longer has are dropped.
    fn find_paths<M: Module>(&mut self, module: &M) {
        struct Paths(HashMap<ParamId, String>);
        impl EachFloat for Paths {
            fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                self.0.entry(param.id).or_insert_with(|| path.into());
            }
        }
        let mut paths = walk(module, Paths(HashMap::new())).0;
        self.slots.retain(|id, slot| {
            paths.remove(id).is_some_and(|path| {
                slot.path = path;
                true
            })
        });
    }

    /// Replaces the running statistics by those of this module, which is in evaluation mode.
    pub(super) fn fix<M: Module>(&mut self, module: &M) {
        struct Fix<'a>(&'a mut Averages, Arc<HashSet<ParamId>>);
        impl EachFloat for Fix<'_> {
            fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                if self.1.contains(&param.id) && !self.0.fixed.contains(&param.id) {
                    let slot = Slot { path: path.into(), value: Box::new(Some(param.val())), is_averaged: true };
                    self.0.slots.insert(param.id, slot);
                    self.0.fixed.push(param.id);
                }
            }
        }
        let statistics = KnownStats::default().of(module);
        walk(module, Fix(self, statistics));
    }

    /// The paths of the fixed statistics.
    pub(super) fn fixed(&self) -> Vec<String> {
        let paths = self.fixed.iter().filter_map(|id| Some(self.slots.get(id)?.path.clone()));
        paths.collect()
    }

    /// The module with the averages in place of its values, in evaluation mode.
    pub(super) fn put_into<M: Module>(&mut self, module: &M) -> M {
        struct Put<'a>(&'a mut HashMap<ParamId, Slot>);
        impl ModuleMapper for Put<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let slot = self.0.get_mut(&param.id).filter(|slot| slot.is_averaged);
                let average = slot.and_then(|slot| held::<D>(&mut slot.value)?.clone());
                param.map(|own| match average {
                    Some(average) if average.dims() == own.dims() => {
                        if average.dtype() == own.dtype() {
                            average
                        } else {
                            average.cast(own.dtype())
                        }
                    }
                    _ => own,
                })
            }
        }
        module.valid().map(&mut Put(&mut self.slots))
    }

    /// Adds the averages to a state. Values that no step has changed are only needed if steps may come between two
    /// updates (`with_untrained`).
    pub(super) fn add_to(&self, saved: Saved, with_untrained: bool) -> Saved {
        let needed = self.slots.values().filter(|slot| slot.is_averaged || with_untrained);
        needed.fold(saved, |saved, slot| slot.value.add_to(saved, name_of(&slot.path, slot.is_averaged)))
    }

    /// Takes the averages of the parameters of this module out of a state.
    ///
    /// # Errors
    /// A trained parameter has no average, or one of another shape.
    pub(super) fn load<M: Module>(&mut self, saved: Saved, fixed: &[String], module: &M, callback: &str) -> Result<()> {
        struct Load<'a> {
            saved: Saved,
            slots: &'a mut HashMap<ParamId, Slot>,
            result: Result<()>,
            callback: &'a str,
        }
        impl Load<'_> {
            fn slot<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) -> Result<Slot> {
                let (own, trains) = plain(param);
                let refuse = |reason: String| {
                    let hint = "build the module as it was when the checkpoint was saved, or leave the callback out";
                    Err(Error::config(self.callback, format!("the checkpoint has {reason} of `{path}`"), hint))
                };
                let path = path.to_owned();
                let saved: Option<Tensor<D>> = self.saved.take_tensor(&name_of(&path, true))?;
                if saved.is_none()
                    && let Some(value) = self.saved.take_tensor::<D, Float>(&name_of(&path, false))?
                {
                    return Ok(Slot { path, value: Box::new(Some(value)), is_averaged: false });
                }
                let Some(value) = saved else {
                    if trains {
                        return refuse("no average".into());
                    }
                    return Ok(Slot { path, value: Box::new(Some(own)), is_averaged: false });
                };
                if value.dims() != own.dims() {
                    return refuse(format!("the average with the shape {:?}, not {:?},", value.dims(), own.dims()));
                }
                Ok(Slot { path, value: Box::new(Some(value)), is_averaged: true })
            }
        }
        impl EachFloat for Load<'_> {
            fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                if self.result.is_err() || self.slots.contains_key(&param.id) {
                    return;
                }
                match self.slot(path, param) {
                    Ok(slot) => drop(self.slots.insert(param.id, slot)),
                    Err(error) => self.result = Err(error),
                }
            }
        }
        self.slots.clear();
        walk(module, Load { saved, slots: &mut self.slots, result: Ok(()), callback }).result?;
        self.fixed = self.slots.iter().filter(|(_, slot)| fixed.contains(&slot.path)).map(|(id, _)| *id).collect();
        Ok(())
    }
}
