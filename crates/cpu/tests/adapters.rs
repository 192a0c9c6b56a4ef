//! A low-rank adapter on a real model against llama.cpp's answers with the same one.

mod support;
#[path = "support/tiny.rs"]
#[allow(dead_code, reason = "only its numbers are needed here")]
mod tiny;

use std::ops::ControlFlow;
use std::rc::Rc;

use nearside_cpu::CpuBackend;
use nearside_engine::sampling::log_sum_exp;
use nearside_engine::{Engine, EngineOptions, Session};
use nearside_gguf::{DataType, Value, Writer};
use serde::Deserialize;
use tiny::numbers;

/// What `tests/parity/lora.py` records.
#[derive(Deserialize)]
struct Recorded {
    scales: Vec<Scale>,
}

#[derive(Deserialize)]
struct Scale {
    scale: f32,
    prompts: Vec<Prompt>,
}

#[derive(Deserialize)]
struct Prompt {
    #[serde(rename = "prompt")]
    text: String,
    ids: Vec<u32>,
    next_top10: Vec<(u32, f32)>,
}

/// The adapter that the script makes, from the same numbers.
fn adapter() -> Vec<u8> {
    const RANK: u64 = 8;
    let mut writer = Writer::new()
        .metadata("general.architecture", Value::Text("llama".to_owned()))
        .metadata("general.type", Value::Text("adapter".to_owned()))
        .metadata("adapter.type", Value::Text("lora".to_owned()))
        .metadata("adapter.lora.alpha", Value::Float(16.0));
    for layer in 0..30 {
        for (part, columns, rows) in [("attn_q", 576, 576), ("attn_v", 576, 192), ("ffn_down", 1536, 576)] {
            for (letter, shape, factor) in [("a", [columns, RANK], 1.0), ("b", [RANK, rows], 0.05)] {
                let name = format!("blk.{layer}.{part}.weight.lora_{letter}");
                let values = numbers(&name, shape[0] * shape[1]);
                let bytes: Vec<u8> = values.iter().flat_map(|value| (value * factor).to_le_bytes()).collect();
                writer = writer.tensor(&name, DataType::F32, &shape, &bytes);
            }
        }
    }
    writer.finish()
}

/// The differences from the reference's log-probabilities: their mean and the largest.
async fn differences(engine: &mut Engine, session: &mut Session, prompt: &Prompt) -> (f32, f32) {
    let logits = engine.next_logits(session, &prompt.ids).await.expect("the steps succeed");
    let total = log_sum_exp(&logits);
    let difference = |(id, expected): &(u32, f32)| (logits[*id as usize] - total - expected).abs();
    let differences: Vec<f32> = prompt.next_top10.iter().map(difference).collect();
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    (mean, differences.into_iter().fold(0.0, f32::max))
}

#[test]
fn an_adapter_changes_answers_as_the_reference_has_it() {
    let Some(file) = support::model("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let recorded: Recorded = support::vectors("smollm2-135m.lora.json");
    let options = EngineOptions { context: Some(128), ..EngineOptions::default() };
    pollster::block_on(async {
        let mut progress = |_, _| ControlFlow::Continue(());
        let mut engine =
            Engine::load(&file, &CpuBackend::new(), options, &mut progress).await.expect("the model loads");
        let mut session = engine.create_session().expect("room for a session");
        let adapter = engine.add_adapter(Rc::new(adapter())).expect("a sound adapter");
        let (mut with_sum, mut without_sum) = (0.0, 0.0);
        for Scale { scale, prompts } in &recorded.scales {
            for prompt in prompts {
                engine.use_adapters(&[]).expect("the model itself");
                let (without, _) = differences(&mut engine, &mut session, prompt).await;
                engine.use_adapters(&[(adapter, *scale)]).expect("it is held");
                let (with, most) = differences(&mut engine, &mut session, prompt).await;
                println!("scale {scale}, {:?}: {with:.3} away with it, {without:.3} without", prompt.text);
                // The reference rounds its inputs to 8 bits, which shows this far in so small a model, adapter or not.
                assert!(with < 0.3 && most < 0.6, "{with}, {most} away after {:?} with {scale}", prompt.text);
                with_sum += with;
                without_sum += without;
            }
        }
        assert!(without_sum > 6.0 * with_sum, "the adapter makes the difference: {without_sum}, {with_sum}");
    });
}
