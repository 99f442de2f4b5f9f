//! The structure of a model.

/// A part of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The path from the outermost module, parts joined by `/`. Unique in the graph.
    pub name: String,
    /// The operation, such as `Conv2d`.
    pub op: String,
    /// The names of its input nodes.
    pub inputs: Vec<String>,
    /// Properties, such as the shapes of its parameters.
    pub attributes: Vec<(String, String)>,
}

impl Node {
    /// Creates a node without inputs.
    pub fn new(name: impl Into<String>, op: impl Into<String>) -> Self {
        Self { name: name.into(), op: op.into(), inputs: Vec::new(), attributes: Vec::new() }
    }

    /// Adds an input.
    pub fn input(mut self, name: impl Into<String>) -> Self {
        self.inputs.push(name.into());
        self
    }

    /// Adds a property.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }
}

/// The structure of a model: its modules and the data flow between them.
///
/// ```
/// use stormfire_loggers::{Graph, Node};
/// let graph = Graph::new([Node::new("net/hidden", "Linear"), Node::new("net/output", "Linear").input("net/hidden")]);
/// assert_eq!(graph.nodes().len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// Creates a graph from its nodes.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }

    /// One line per node, as `print(model)` in other frameworks. For backends without graphs.
    pub fn to_text(&self) -> String {
        let line = |node: &Node| {
            let attributes: Vec<String> = node.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let inputs = if node.inputs.is_empty() { String::new() } else { format!(" <- {}", node.inputs.join(", ")) };
            format!("({}): {}({}){inputs}\n", node.name, node.op, attributes.join(", "))
        };
        self.nodes.iter().map(line).collect()
    }

    /// The nodes, in the given order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_nodes_and_their_inputs() {
        let nodes = [Node::new("net/a", "Linear").attribute("out", "2"), Node::new("net/b", "ReLU").input("net/a")];
        assert_eq!(Graph::new(nodes).to_text(), "(net/a): Linear(out=2)\n(net/b): ReLU() <- net/a\n");
    }
}
