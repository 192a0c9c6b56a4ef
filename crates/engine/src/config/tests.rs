use nearside_gguf::Value;

use super::*;
use crate::graph::{Activation, RopePairing};

fn style(traits: &'static [Trait]) -> Style {
    Style { name: "one", pairing: RopePairing::Halves, activation: Activation::Silu, traits }
}

fn metadata(changes: &[(&str, Option<Value>)]) -> Metadata {
    let mut metadata = Metadata::default();
    let sizes = [
        ("block_count", 6),
        ("embedding_length", 64),
        ("feed_forward_length", 96),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("context_length", 128),
    ];
    let mut values: Vec<(&str, Value)> = sizes.iter().map(|(key, size)| (*key, Value::Unsigned(*size))).collect();
    values.push(("attention.layer_norm_rms_epsilon", Value::Float(1e-5)));
    for (key, change) in changes {
        values.retain(|(other, _)| other != key);
        values.extend(change.clone().map(|value| (*key, value)));
    }
    for (key, value) in values {
        metadata.insert(format!("one.{key}"), value);
    }
    metadata
}

#[test]
fn defaults_come_from_the_width() {
    let config = DecoderConfig::read(&metadata(&[]), style(&[])).expect("consistent sizes");
    assert_eq!((config.head_dim, config.rope.rotated), (16, 16));
    assert_eq!((config.query_width(), config.kv_width()), (64, 32));
    let wide = metadata(&[("attention.key_length", Some(Value::Unsigned(32)))]);
    let config = DecoderConfig::read(&wide, style(&[])).expect("an own head size");
    assert_eq!(config.query_width(), 128);
}

#[test]
fn windows_follow_the_period_or_the_flags() {
    let windows = |changes: &[(&str, Option<Value>)]| -> String {
        let config = DecoderConfig::read(&metadata(changes), style(&[Trait::Windows { period: 6 }]));
        let layers = config.expect("sound windows").layers;
        layers.iter().map(|layer| if layer.window == Some(8) { 'w' } else { '-' }).collect()
    };
    let window = ("attention.sliding_window", Some(Value::Unsigned(8)));
    let pattern = |value| ("attention.sliding_window_pattern", Some(value));
    assert_eq!(windows(&[]), "------");
    assert_eq!(windows(std::slice::from_ref(&window)), "wwwww-");
    assert_eq!(windows(&[window.clone(), pattern(Value::Unsigned(2))]), "w-w-w-");
    assert_eq!(windows(&[window.clone(), pattern(Value::Unsigned(0))]), "wwwwww");
    let flags = vec![false, false, true, true, false, true];
    assert_eq!(windows(&[window, pattern(Value::BoolArray(flags))]), "--ww-w");
}

#[test]
fn impossible_values_are_named() {
    let number = |number| Some(Value::Unsigned(number));
    let float = |number| Some(Value::Float(number));
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let cases: &[&[(&str, Option<Value>)]] = &[
        &[("block_count", None)],
        &[("block_count", number(0))],
        &[("block_count", number(u64::MAX))],
        &[("block_count", text("2"))],
        &[("embedding_length", number(1 << 40))],
        &[("attention.head_count_kv", None), ("attention.head_count", number(5))],
        &[("attention.head_count", number(0))],
        &[("attention.head_count_kv", number(3))],
        &[("attention.head_count_kv", number(8))],
        &[("attention.key_length", number(1 << 19))],
        &[("attention.value_length", number(8))],
        &[("rope.dimension_count", number(15))],
        &[("rope.dimension_count", number(18))],
        &[("rope.freq_base", float(f64::NAN))],
        &[("rope.freq_base", float(1.0))],
        &[("rope.freq_base", float(1e300))],
        &[("rope.freq_base_swa", float(-10.0))],
        &[("rope.scaling.type", text("dynamic"))],
        &[("rope.scaling.factor", float(1e-30))],
        &[("rope.scaling.factor", text("4"))],
        &[("rope.scaling.type", text("yarn")), ("rope.scaling.factor", float(0.5))],
        &[("rope.scaling.type", text("yarn")), ("rope.scaling.yarn_beta_fast", float(f64::INFINITY))],
        &[("rope.scaling.attn_factor", float(-1.0))],
        &[("rope.scaling.original_context_length", number(u64::MAX))],
        &[("attention.layer_norm_rms_epsilon", float(-1.0))],
        &[("attention.sliding_window", number(u64::MAX))],
        &[("attention.sliding_window_pattern", Some(Value::BoolArray(vec![true; 5])))],
        &[("attention.sliding_window_pattern", text("all"))],
        &[("final_logit_softcapping", float(30.0))],
        &[("logit_scale", None)],
        &[("logit_scale", float(f64::INFINITY))],
        &[("residual_scale", float(-0.2))],
        &[("context_length", number(0))],
    ];
    let all = style(&[Trait::Multipliers, Trait::Windows { period: 6 }, Trait::Unrotated { period: 4 }]);
    for case in cases {
        let scale = ("logit_scale", float(8.0));
        let changes: Vec<_> = [scale].into_iter().chain(case.iter().cloned()).collect();
        let error = DecoderConfig::read(&metadata(&changes), all).expect_err("an impossible value");
        let (key, _) = case[case.len() - 1];
        assert!(error.to_string().contains(&format!("one.{key}")), "{case:?}: {error}");
    }
}
