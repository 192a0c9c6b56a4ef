//! `nearside embed`, and what adapters and the cache's format have to do with it.

use crate::support::{Folder, nearside};

fn vectors(arguments: &[&str]) -> Vec<Vec<f64>> {
    let ran = nearside(&[&["embed", "--backend", "cpu"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout.lines().map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect()).collect()
}

#[test]
fn each_text_is_a_line_of_numbers() {
    let folder = Folder::new();
    let model = folder.model();
    let arguments = ["--model", &model, "--text", "hello", "--text", "abc"];
    let unit = vectors(&arguments);
    assert_eq!(unit.len(), 2);
    for vector in &unit {
        assert!((vector.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-5);
    }
    let raw = vectors(&[&arguments[..], &["--raw"]].concat());
    let length = raw[0].iter().map(|value| value * value).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() > 1e-3);
    assert!(raw[0].iter().zip(&unit[0]).all(|(raw, unit)| (raw / length - unit).abs() < 1e-5));
    assert_ne!(vectors(&[&arguments[..], &["--pooling", "last"]].concat()), unit);
    let json = nearside(&[&["embed", "--backend", "cpu", "--json"], &arguments[..]].concat()).json();
    assert_eq!(json["embeddings"][1]["tokens"], 3);
    assert_eq!(json["embeddings"][0]["embedding"].as_array().unwrap().len(), unit[0].len());
}

#[test]
fn an_adapter_that_is_none_is_refused_by_name() {
    let folder = Folder::new();
    let model = folder.model();
    let lora = format!("{model}=0.5");
    let ran = nearside(&["run", "--backend", "cpu", "--model", &model, "--lora", &lora, "--prompt", "a"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("alphabet.gguf") && ran.stderr.contains("general.type"), "{}", ran.stderr);
    let ran = nearside(&["run", "--model", &model, "--cache", "q2", "--prompt", "a"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("q8_0"), "{}", ran.stderr);
}
