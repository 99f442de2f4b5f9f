//! The structure of a model.

/// A part of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its path from the outermost module, parts joined by `/`. Unique in the graph.
    pub name: String,
    /// What it does, such as `Conv2d`.
    pub op: String,
    /// The names of the nodes that it gets its input from.
    pub inputs: Vec<String>,
    /// What is known of it, such as the shapes of its parameters.
    pub attributes: Vec<(String, String)>,
}

impl Node {
    /// A node without inputs.
    pub fn new(name: impl Into<String>, op: impl Into<String>) -> Self {
        Self { name: name.into(), op: op.into(), inputs: Vec::new(), attributes: Vec::new() }
    }

    /// One more input.
    pub fn input(mut self, name: impl Into<String>) -> Self {
        self.inputs.push(name.into());
        self
    }

    /// Something that is known of it.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }
}

/// The structure of a model: its modules and what flows between them.
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
    /// A graph of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }

    /// A line for each node, as `print(model)` has in other frameworks. For backends that show no graphs.
    pub fn to_text(&self) -> String {
        let line = |node: &Node| {
            let attributes: Vec<String> = node.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let inputs = if node.inputs.is_empty() { String::new() } else { format!(" <- {}", node.inputs.join(", ")) };
            format!("({}): {}({}){inputs}\n", node.name, node.op, attributes.join(", "))
        };
        self.nodes.iter().map(line).collect()
    }

    /// The nodes, in the order in which they were given.
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
