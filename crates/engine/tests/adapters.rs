//! Low-rank adapters: what is taken, what is refused, and what changes when.

mod support;

use std::rc::Rc;

use nearside_engine::{Engine, EngineError, EngineOptions};
use nearside_gguf::{DataType, Value};
use support::adapter_file::{WEIGHT, file, halves};
use support::scripted::{Nature, Scripted};
use support::tiny::numbers;
use support::{answer, fresh, load, sampled};

fn sound() -> Rc<Vec<u8>> {
    Rc::new(support::adapter())
}

fn engine() -> (Engine, Scripted) {
    let backend = Scripted::new(Nature::Wild);
    (load(&backend, EngineOptions::default()).expect("a sound model"), backend)
}

#[test]
fn the_parts_are_those_of_the_file_with_its_scale() {
    let (mut engine, backend) = engine();
    engine.add_adapter(sound()).expect("a sound adapter");
    let adapters = backend.seen.adapters.borrow();
    let [part] = adapters[0].as_slice() else { panic!("one change") };
    assert_eq!(part.rank, 4);
    assert_eq!(part.down, numbers(&format!("{WEIGHT}.lora_a"), 32 * 4));
    // Alpha 8 over rank 4.
    let up: Vec<f32> = numbers(&format!("{WEIGHT}.lora_b"), 4 * 32).iter().map(|value| value * 2.0).collect();
    assert_eq!(part.up, up);
}

#[test]
fn an_adapter_changes_answers_while_it_is_used_and_only_then() {
    let (mut engine, backend) = engine();
    let mut session = engine.create_session().expect("room for a session");
    let plain = answer(&mut engine, &mut session, &[1, 2, 3], sampled(1, 8)).ids();
    let adapter = engine.add_adapter(sound()).expect("a sound adapter");
    assert_eq!(answer(&mut engine, &mut session, &[1, 2, 3], sampled(1, 8)).ids(), plain, "not in use yet");
    engine.use_adapters(&[(adapter, 1.0)]).expect("it is held");
    let held = engine.session_tokens(&session).to_vec();
    backend.seen.take_read();
    let changed = answer(&mut engine, &mut session, &[1, 2, 3], sampled(1, 8));
    assert_ne!(changed.ids(), plain);
    assert_eq!(changed.finish.reused_tokens, 0, "what the cache held was computed without it");
    assert_eq!(held.len(), 3 + 7, "its tokens were still known");
    assert_eq!(changed.ids(), fresh(&mut engine, &[1, 2, 3], sampled(1, 8)).ids());
    let again = answer(&mut engine, &mut session, &[1, 2, 3], sampled(1, 8));
    assert_eq!((again.finish.reused_tokens, again.ids()), (2, changed.ids()));
    engine.use_adapters(&[(adapter, 0.5)]).expect("it is held");
    let half = answer(&mut engine, &mut session, &[1, 2, 3], sampled(1, 8)).ids();
    assert!(half != plain && half != changed.ids());
    engine.remove_adapter(adapter).expect("the device is there");
    assert_eq!(answer(&mut engine, &mut session, &[1, 2, 3], sampled(1, 8)).ids(), plain);
    let error = engine.use_adapters(&[(adapter, 1.0)]).expect_err("it is gone");
    assert!(error.to_string().contains("add it first"), "{error}");
}

#[test]
fn unsound_mixtures_are_refused_and_change_nothing() {
    let (mut engine, _) = engine();
    let adapter = engine.add_adapter(sound()).expect("a sound adapter");
    let plain = fresh(&mut engine, &[1, 2], sampled(1, 5)).ids();
    let (mut other, _) = self::engine();
    let foreign = other.add_adapter(sound()).expect("a sound adapter");
    for mixture in [vec![(adapter, f32::NAN)], vec![(adapter, 1.0), (adapter, 1.0)], vec![(foreign, 1.0)]] {
        let error = engine.use_adapters(&mixture).expect_err("an unsound mixture");
        assert!(matches!(error, EngineError::Adapter { .. }), "{error}");
    }
    assert_eq!(fresh(&mut engine, &[1, 2], sampled(1, 5)).ids(), plain);
}

#[test]
fn a_file_that_does_not_fit_is_refused_by_name() {
    let text = |text: &str| Value::Text(text.to_owned());
    let shaped = |name: &str, shapes: [[u64; 2]; 2]| {
        let half = |letter: &str, shape: [u64; 2]| (format!("{name}.lora_{letter}"), DataType::F32, shape.to_vec());
        file(&[], &[half("a", shapes[0]), half("b", shapes[1])])
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"no file of this kind".to_vec(), "GGUF"),
        (file(&[("general.type", text("model"))], &halves(4)), "general.type"),
        (file(&[("adapter.type", text("control_vector"))], &halves(4)), "adapter.type"),
        (file(&[("general.architecture", text("qwen2"))], &halves(4)), "qwen2"),
        (file(&[("adapter.lora.alpha", Value::Float(f64::INFINITY))], &halves(4)), "adapter.lora.alpha"),
        (file(&[("adapter.alora.invocation_tokens", Value::UnsignedArray(vec![1]))], &halves(4)), "certain tokens"),
        (file(&[], &[]), "no tensors"),
        (file(&[], &halves(4)[..1]), "one half"),
        (file(&[], &halves(4)[1..]), "one half"),
        (file(&[], &[("output_norm.weight".to_owned(), DataType::F32, vec![32])]), "output_norm.weight"),
        (shaped("blk.7.attn_q.weight", [[32, 4], [4, 32]]), "blk.7.attn_q.weight"),
        (shaped("output_norm.weight", [[32, 1], [1, 1]]), "output_norm.weight"),
        (shaped("token_embd.weight", [[32, 4], [4, 27]]), "token_embd.weight"),
        (shaped(WEIGHT, [[31, 4], [4, 32]]), "another model"),
        (shaped(WEIGHT, [[32, 4], [4, 33]]), "another model"),
        (shaped(WEIGHT, [[32, 4], [5, 32]]), "another model"),
        (shaped(WEIGHT, [[32, 33], [33, 32]]), "rank 33"),
    ];
    let (mut engine, backend) = engine();
    for (bytes, mention) in cases {
        let error = engine.add_adapter(Rc::new(bytes)).expect_err("no adapter of this model");
        assert!(error.to_string().contains(mention), "{mention}: {error}");
    }
    assert!(backend.seen.adapters.borrow().is_empty());
}

#[test]
fn halves_may_be_stored_in_any_format() {
    let (mut engine, backend) = engine();
    let mut tensors = halves(32);
    tensors[0].1 = DataType::Q8_0;
    tensors[1].1 = DataType::F16;
    engine.add_adapter(Rc::new(file(&[], &tensors))).expect("a sound adapter");
    assert_eq!(backend.seen.adapters.borrow()[0][0].down, vec![0.0; 32 * 32]);
}
