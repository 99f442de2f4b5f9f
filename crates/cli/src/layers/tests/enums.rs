//! Enums without a tag: serde's default form, in which the name of the variant is the key of its fields.

use super::*;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Loss {
    #[default]
    Mse,
    /// Squares near zero.
    Huber {
        delta: f64,
    },
    Tukey {
        #[serde(default)]
        width: f64,
    },
    Power(u32),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Net {
    loss: Loss,
}

fn loss(given: &[(&str, &str)]) -> Result<Loss> {
    let layers = Layers::of(&Net::default()).unwrap();
    Ok(given.iter().fold(layers, |layers, (name, value)| layers.flag(name, *value)).resolve::<Net>()?.loss)
}

#[test]
fn a_variant_is_set_by_its_name_and_its_fields() {
    assert_eq!(loss(&[]).unwrap(), Loss::Mse);
    assert_eq!(loss(&[("--loss.huber.delta", "2")]).unwrap(), Loss::Huber { delta: 2.0 });
    assert_eq!(loss(&[("--loss", "{huber: {delta: 2}}")]).unwrap(), Loss::Huber { delta: 2.0 });
    assert_eq!(loss(&[("--loss", "{tukey: {}}")]).unwrap(), Loss::Tukey { width: 0.0 });
    assert_eq!(loss(&[("--loss.power", "3")]).unwrap(), Loss::Power(3));
}

#[test]
fn another_variant_of_a_later_layer_replaces_the_first() {
    let (_folder, path) = file("loss: {huber: {delta: 2}}", "a.yaml");
    let over = |flags: &[(&str, &str)]| {
        let layers = Layers::of(&Net::default()).unwrap().file(&path).unwrap();
        flags.iter().fold(layers, |layers, (name, value)| layers.flag(name, *value)).resolve::<Net>().unwrap().loss
    };
    assert_eq!(over(&[]), Loss::Huber { delta: 2.0 });
    assert_eq!(over(&[("--loss.huber.delta", "3")]), Loss::Huber { delta: 3.0 });
    assert_eq!(over(&[("--loss", "mse")]), Loss::Mse);
    assert_eq!(over(&[("--loss.tukey.width", "3")]), Loss::Tukey { width: 3.0 });
    assert_eq!(over(&[("--loss", "{power: 4}")]), Loss::Power(4));
    // If two flags are given, the last one wins.
    assert_eq!(loss(&[("--loss.huber.delta", "1"), ("--loss.tukey.width", "2")]).unwrap(), Loss::Tukey { width: 2.0 });
}

#[test]
fn a_variant_is_replaced_within_an_option_and_by_a_variable() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Maybe {
        loss: Option<Loss>,
    }

    let (_folder, path) = file("loss: {huber: {delta: 2}}", "a.yaml");
    let layers = Layers::of(&Maybe::default()).unwrap().file(&path).unwrap();
    let of = |name: &str, value: &str| {
        let variable = [(name.to_owned(), value.to_owned())];
        layers.clone().env("APP", variable).unwrap().resolve::<Maybe>().unwrap().loss
    };
    assert_eq!(of("APP__LOSS__TUKEY__WIDTH", "3"), Some(Loss::Tukey { width: 3.0 }));
    assert_eq!(of("APP__LOSS__HUBER__DELTA", "3"), Some(Loss::Huber { delta: 3.0 }));
    assert_eq!(of("APP__LOSS", "mse"), Some(Loss::Mse));
    assert_eq!(of("APP__LOSS", "null"), None);
}

#[test]
fn mistakes_are_named() {
    let told = |given: &[(&str, &str)]| loss(given).unwrap_err().to_string();
    assert_snapshot!(told(&[("--loss", "msr")]), @r"
    --loss: `loss`: expected `mse`, not the string `msr`
      help: did you mean `mse`?
    ");
    assert_snapshot!(told(&[("--loss.hubr.delta", "1")]), @r"
    --loss.hubr.delta: there is no option `loss.hubr`
      help: did you mean `loss.huber`?
    ");
    assert_snapshot!(told(&[("--loss.huber.delta", "much")]), @"--loss.huber.delta: `loss.huber.delta`: expected a number, not the string `much`");
    assert_snapshot!(told(&[("--loss", "huber")]), @r"
    --loss: `loss`: expected `mse`, not the string `huber`
      help: `huber` has options: write `loss: {huber: …}`
    ");
    assert_snapshot!(told(&[("--loss", "{huber: {delta: 1}, tukey: {}}")]), @"--loss: `loss`: expected one of `huber`, `power` or `tukey`, not several");
}

#[test]
fn a_printed_variant_is_read_again() {
    for value in [Loss::Mse, Loss::Huber { delta: 0.5 }, Loss::Tukey { width: 2.0 }, Loss::Power(2)] {
        let layers = Layers::of(&Net { loss: value.clone() }).unwrap();
        let printed = print_config(&layers.checked().unwrap(), layers.schema(), true);
        let (_folder, path) = file(&printed, "printed.yaml");
        let read: Net = Layers::of(&Net::default()).unwrap().file(&path).unwrap().resolve().unwrap();
        assert_eq!(read.loss, value, "{printed}");
    }
}
