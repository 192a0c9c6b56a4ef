//! What a step of one token costs in dispatches, for every architecture.

#[path = "../../../tests/parity/random/models.rs"]
mod models;
#[expect(dead_code, reason = "no model files are read here")]
mod support;

use std::ops::ControlFlow;

use nearside_engine::{Engine, EngineOptions};

/// Embedding, last norm, last row and the head.
const OUTSIDE: u64 = 4;

#[test]
fn a_layer_of_one_token_is_at_most_eight_dispatches() {
    let Some(backend) = support::backend("llvmpipe", true) else { return };
    for model in models::models() {
        let file = model.file();
        let options = EngineOptions { context: Some(model.contexts[0]), ..EngineOptions::default() };
        let mut progress = |_, _| ControlFlow::Continue(());
        let cost = pollster::block_on(async {
            let mut engine = Engine::load(&file.as_slice(), &backend, options, &mut progress).await?;
            let mut session = engine.create_session()?;
            let tokens = model.tokens();
            engine.next_logits(&mut session, &tokens[..2]).await?;
            let before = engine.counters();
            engine.next_logits(&mut session, &tokens[..3]).await?;
            let after = engine.counters();
            assert_eq!(after.steps - before.steps, 1, "{}", model.name);
            let dispatches = after.dispatches - before.dispatches;
            let in_layers = after.layer_dispatches - before.layer_dispatches;
            Ok::<_, nearside_engine::EngineError>((dispatches, in_layers, engine.info().layers as u64))
        });
        let (dispatches, in_layers, layers) = cost.expect("the model runs");
        println!("{}: {dispatches} dispatches, {in_layers} of them for {layers} layers", model.name);
        // Where every matrix has another format, heads in three take two products, and a gate and its
        // partner stay apart.
        let most = if model.formats.len() > 2 { 12 } else { 8 };
        assert!(in_layers <= most * layers, "{}: {in_layers} for {layers} layers", model.name);
        assert_eq!(dispatches - in_layers, OUTSIDE, "{}", model.name);
    }
}
