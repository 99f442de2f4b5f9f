//! A table of a module's children and parameters.

use std::{any::Any, fmt, io::Write};

use burn::module::Module;
use comfy_table::{CellAlignment, Table, presets};
use stormfire_module::{Callback, Context, Error, LightningModule, Result};

use forward_trace::ForwardTrace;
use walk::{Node, Walk};

use crate::Printer;

pub(crate) mod forward_trace;
mod walk;

/// Runs the layers of a module of any type. `None` for another type.
type Example = Box<dyn Fn(&dyn Any, &mut ForwardTrace) -> Option<Result<()>>>;

/// Prints a [`Summary`] of the module when a fit starts.
///
/// ```
/// use stormfire_callbacks::ModelSummary;
///
/// let children_and_theirs = ModelSummary::new().max_depth(2);
/// ```
pub struct ModelSummary {
    max_depth: usize,
    example: Option<Example>,
    out: Option<Box<dyn Write + Send>>,
}

impl ModelSummary {
    /// Shows the module's children, on stdout.
    pub fn new() -> Self {
        Self { max_depth: 1, example: None, out: None }
    }

    /// The number of levels of children to show. 0 prints nothing. Default: 1.
    pub fn max_depth(mut self, levels: usize) -> Self {
        self.max_depth = levels;
        self
    }

    /// Shows all levels.
    pub fn all(self) -> Self {
        self.max_depth(usize::MAX)
    }

    /// A function that runs the forward pass of an example. The summary then has the sizes of its layers and their
    /// floating-point operations. It is called once, with the module in evaluation mode, and costs one forward pass.
    ///
    /// ```
    /// # use burn::{module::Module, nn::Linear, tensor::{Tensor, activation::relu}};
    /// # use stormfire_module::LightningModule;
    /// # #[derive(Module, Debug)]
    /// # struct Net { hidden: Linear, output: Linear }
    /// # impl LightningModule for Net { type Batch = Tensor<2>; }
    /// use stormfire_callbacks::{ForwardTrace, ModelSummary};
    ///
    /// let summary = ModelSummary::new().example(|net: &Net, trace: &mut ForwardTrace| {
    ///     let x = Tensor::<2>::zeros([64, 784], &net.devices()[0]);
    ///     let x = trace.layer("hidden", &net.hidden, x, Linear::forward);
    ///     trace.layer("output", &net.output, relu(x), Linear::forward);
    ///     Ok(())
    /// });
    /// # let _ = summary;
    /// ```
    pub fn example<M: LightningModule>(mut self, run: impl Fn(&M, &mut ForwardTrace) -> Result<()> + 'static) -> Self {
        self.example = Some(Box::new(move |module, trace| module.downcast_ref().map(|module| run(module, trace))));
        self
    }

    /// Where to print. Default: stdout.
    pub fn print_to(mut self, out: impl Write + Send + 'static) -> Self {
        self.out = Some(Box::new(out));
        self
    }
}

impl Default for ModelSummary {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ModelSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelSummary").field("max_depth", &self.max_depth).finish_non_exhaustive()
    }
}

impl<M: LightningModule> Callback<M> for ModelSummary {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn on_fit_start(&mut self, _ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        if self.max_depth == 0 {
            return Ok(());
        }
        let mut summary = summarize(module, self.max_depth);
        if let Some(example) = &self.example {
            let mut trace = ForwardTrace::default();
            example(&module.valid(), &mut trace).ok_or_else(wrong_module::<M>)??;
            summary = summary.with_trace(&trace);
        }
        let printed = match &mut self.out {
            Some(out) => writeln!(out, "{summary}").and_then(|()| out.flush()),
            None => Printer::live().print_of_run("Model", &summary),
        };
        // A closed pipe (`| head`) must not end a training run.
        if let Err(error) = printed {
            tracing::warn!(%error, "the model summary cannot be printed");
        }
        Ok(())
    }
}

fn wrong_module<M>() -> Error {
    let reason = format!("its module type is not that of this module, `{}`", std::any::type_name::<M>());
    Error::config("ModelSummary::example", reason, "write the module type after the argument: `|module: &MyModule, trace| ..`")
}

/// One line of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// The path from the module: `encoder.layers.0`.
    pub name: String,
    /// The type: `Linear`, for example. `Vec`, `Tuple` and `Array` for containers. The name of an enum.
    pub type_name: String,
    /// Elements in its parameters, including those of its children.
    pub params: u64,
    /// It has parameters, but no trained ones.
    pub is_frozen: bool,
    /// The shapes of its input and its output in an example, at its first call.
    pub sizes: Option<(Vec<usize>, Vec<usize>)>,
    /// The floating-point operations of its calls in an example.
    pub flops: Option<u64>,
}

/// The children and parameters of a module. It displays itself as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The children down to the requested depth, parents first, in the order of the fields.
    pub rows: Vec<SummaryRow>,
    /// Elements in parameters of the module itself, not of a child.
    pub other_params: u64,
    /// Elements in trainable parameters.
    pub trainable: u64,
    /// Elements in frozen parameters and buffers, such as the running statistics of `BatchNorm`.
    pub non_trainable: u64,
    /// Bytes of all parameters. A float parameter that is not initialized yet counts as 4 bytes per element.
    pub bytes: u64,
    /// The example of [`ModelSummary::example`].
    pub trace: Option<ForwardTrace>,
}

impl Summary {
    /// Adds the sizes and operations of an example.
    pub fn with_trace(mut self, trace: &ForwardTrace) -> Self {
        for row in &mut self.rows {
            let below = format!("{}.", row.name);
            let calls = || trace.calls().iter().filter(|call| call.name == row.name);
            row.sizes = calls().next().map(|call| (call.input.clone(), call.output.clone()));
            let mut counted = trace.calls().iter().filter(|call| call.name == row.name || call.name.starts_with(&below)).peekable();
            row.flops = if counted.peek().is_some() { counted.map(|call| call.flops).sum() } else { None };
        }
        self.trace = Some(trace.clone());
        self
    }

    /// Elements in all parameters.
    pub fn total(&self) -> u64 {
        self.trainable + self.non_trainable
    }
}

/// Counts a module's parameters, with a row for each child down to `max_depth` levels.
///
/// This does not initialize parameters. A parameter that is used in two places counts once in the totals. A child
/// without parameters gets no row if burn's visitor cannot see its type (an activation such as `Relu`, an empty
/// `Option`).
///
/// ```
/// use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::Device};
/// use stormfire_callbacks::summarize;
///
/// #[derive(Module, Debug)]
/// struct Net { hidden: Linear, output: Linear }
///
/// let device = Device::flex().autodiff();
/// let net = Net { hidden: LinearConfig::new(28 * 28, 64).init(&device), output: LinearConfig::new(64, 10).init(&device) };
/// let summary = summarize(&net, 1);
/// assert_eq!(summary.trainable, 50_890);
/// assert!(summary.to_string().contains("50.2 K"));
/// ```
pub fn summarize<M: Module>(module: &M, max_depth: usize) -> Summary {
    let mut walk = Walk::default();
    module.visit(&mut walk);
    let Walk { root, trainable, non_trainable, bytes, .. } = walk;
    let mut summary = Summary { other_params: root.own_params(), trainable, non_trainable, bytes, ..Summary::default() };
    add_rows(&mut summary.rows, "", &root, max_depth);
    summary
}

fn add_rows(rows: &mut Vec<SummaryRow>, prefix: &str, parent: &Node, levels: usize) {
    if levels == 0 {
        return;
    }
    for child in &parent.children {
        let name = if prefix.is_empty() { child.name.clone() } else { format!("{prefix}.{}", child.name) };
        if let Some(type_name) = &child.type_name {
            rows.push(SummaryRow {
                name: name.clone(),
                type_name: type_name.clone(),
                params: child.params(),
                is_frozen: child.params() > 0 && !child.trains,
                sizes: None,
                flops: None,
            });
            add_rows(rows, &name, child, levels - 1);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_frozen = self.rows.iter().any(|row| row.is_frozen);
        let shape = |dims: &[usize]| format!("[{}]", dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let mut table = Table::new();
        let mut header = vec!["", "Name", "Type", "Params"];
        header.extend(has_frozen.then_some("Mode"));
        header.extend(self.trace.iter().flat_map(|_| ["In sizes", "Out sizes", "FLOPs"]));
        table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
        for (index, row) in self.rows.iter().enumerate() {
            let mut cells = vec![index.to_string(), row.name.clone(), row.type_name.clone(), human(row.params)];
            cells.extend(has_frozen.then(|| if row.is_frozen { "frozen" } else { "train" }.to_owned()));
            if self.trace.is_some() {
                let (input, output) = row.sizes.as_ref().map_or(("?".into(), "?".into()), |(input, output)| (shape(input), shape(output)));
                cells.extend([input, output, row.flops.map_or_else(|| "?".into(), human)]);
            }
            table.add_row(cells);
        }
        if self.other_params > 0 {
            table.add_row([String::new(), "other params".into(), "n/a".into(), human(self.other_params)]);
        }
        if let Some(params) = table.column_mut(3) {
            params.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        writeln!(f, "{:<9} Trainable params", human(self.trainable))?;
        writeln!(f, "{:<9} Non-trainable params", human(self.non_trainable))?;
        writeln!(f, "{:<9} Total params", human(self.total()))?;
        write!(f, "{:<9} Total estimated model params size (MB)", format!("{:.3}", self.bytes as f64 / 1e6))?;
        match &self.trace {
            Some(trace) => write!(f, "\n{:<9} FLOPs of a forward pass of the example", trace.flops().map_or_else(|| "?".into(), human)),
            None => Ok(()),
        }
    }
}

/// Formats a count for people: `123`, `1.2 K`, `2.0 M`, `3.0 B`, `400 T`.
fn human(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    // From 999.5 on, it would be written as `1000`.
    while value >= 999.5 && unit < 4 && count >= 1000 {
        value /= 1000.0;
        unit += 1;
    }
    match ["", " K", " M", " B", " T"][unit] {
        "" => count.to_string(),
        suffix if value >= 99.95 => format!("{value:.0}{suffix}"),
        suffix => format!("{value:.1}{suffix}"),
    }
}

#[cfg(test)]
mod tests;
