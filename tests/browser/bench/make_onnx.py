"""Turns a GGUF file of the `llama` architecture into the folder that transformers.js loads with dtype `q8`.

Usage: make_onnx.py FILE.gguf FOLDER

No hub is needed: the graph is written here, in the operators that published exports use, and ONNX Runtime's own
quantizer makes the int8 weights. Only speed may be compared with it: the weights are quantized twice.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from gguf import GGUFReader, dequantize
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

CONTEXT = 2048
CONTRIB = "com.microsoft"
CONTROL = 3  # a vocabulary entry's type: a control token


class Model:
    """The file's metadata and tensors."""

    def __init__(self, path):
        self.reader = GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.architecture = self.value("general.architecture")
        if self.architecture != "llama":
            sys.exit(f"{path} is of the architecture {self.architecture}; only llama is written here")
        own = lambda key, otherwise=None: self.value(f"llama.{key}", otherwise)
        self.width = own("embedding_length")
        self.layers = own("block_count")
        self.heads = own("attention.head_count")
        self.key_heads = own("attention.head_count_kv")
        self.inner = own("feed_forward_length")
        self.epsilon = own("attention.layer_norm_rms_epsilon")
        self.rope_base = own("rope.freq_base", 10_000.0)
        self.head_width = self.width // self.heads

    def value(self, key, otherwise=None):
        field = self.reader.fields.get(key)
        return otherwise if field is None else field.contents()

    def weight(self, name):
        tensor = self.tensors[name]
        return dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


class Graph:
    """An ONNX graph while it grows."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator, inputs, outputs, domain="", **attributes):
        name = f"{operator}/{outputs[-1]}"
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def matmul(self, inputs, weight, output):
        """`weight` as the file has it: one row an output."""
        constant = self.constant(f"{output}.weight", weight.T)
        return self.node("MatMul", [inputs, constant], [output])

    def argument(self, name, kind, shape, into):
        into.append(helper.make_tensor_value_info(name, kind, shape))


def build(model):
    graph = Graph()
    # transformers.js goes by these names when it makes the first, empty past.
    graph.argument("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"], graph.inputs)
    graph.argument("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"], graph.inputs)
    embedding = model.weight("token_embd.weight")
    graph.argument("logits", TensorProto.FLOAT, ["batch_size", "sequence_length", embedding.shape[0]], graph.outputs)
    lengths(graph)
    angles = np.outer(np.arange(CONTEXT), model.rope_base ** (-np.arange(0, model.head_width, 2) / model.head_width))
    graph.constant("cosines", np.cos(angles).astype(np.float32))
    graph.constant("sines", np.sin(angles).astype(np.float32))

    residual = graph.node("Gather", [graph.constant("embedding", embedding), "input_ids"], ["embedded"])
    first = graph.constant("blk.0.attn_norm", model.weight("blk.0.attn_norm.weight"))
    normed = graph.node(
        "SimplifiedLayerNormalization", [residual, first], ["normed"], axis=-1, epsilon=model.epsilon, stash_type=1
    )
    for layer in range(model.layers):
        normed, residual = block(graph, model, layer, normed, residual)
    head = "output.weight" if "output.weight" in model.tensors else "token_embd.weight"
    graph.matmul(normed, model.weight(head), "logits")
    return helper.make_model(
        helper.make_graph(graph.nodes, "llama", graph.inputs, graph.outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)],
        ir_version=8,
    )


def lengths(graph):
    """How long the past and the whole are, from the attention mask, as the attention operator wants it."""
    graph.constant("axis", np.array([1], np.int64))
    graph.constant("one", np.array([1], np.int64))
    graph.constant("second", np.array(1, np.int64))
    graph.node("ReduceSum", ["attention_mask", "axis"], ["mask_sum"], keepdims=0)
    graph.node("Sub", ["mask_sum", "one"], ["last"])
    graph.node("Cast", ["last"], ["past_lengths"], to=TensorProto.INT32)
    graph.node("Shape", ["attention_mask"], ["mask_shape"])
    graph.node("Gather", ["mask_shape", "second"], ["mask_length"], axis=0)
    graph.node("Cast", ["mask_length"], ["total_length"], to=TensorProto.INT32)


def block(graph, model, layer, normed, residual):
    name = lambda part: f"blk.{layer}.{part}"
    project = lambda part, inputs: graph.matmul(inputs, model.weight(name(f"{part}.weight")), name(part))
    past = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
    present = [f"present.{layer}.{part}" for part in ("key", "value")]
    for names, length, into in ((past, "past_sequence_length", graph.inputs), (present, "total_sequence_length", graph.outputs)):
        for each in names:
            graph.argument(each, TensorProto.FLOAT, ["batch_size", model.key_heads, length, model.head_width], into)
    attended = graph.node(
        "GroupQueryAttention",
        [project(part, normed) for part in ("attn_q", "attn_k", "attn_v")]
        + past
        + ["past_lengths", "total_length", "cosines", "sines"],
        [name("attended"), *present],
        CONTRIB,
        num_heads=model.heads,
        kv_num_heads=model.key_heads,
        scale=model.head_width**-0.5,
        do_rotary=1,
        # The file keeps the rows of q and k in the order in which neighbours turn together.
        rotary_interleaved=1,
    )
    joined = project("attn_output", attended)
    weight = graph.constant(name("ffn_norm"), model.weight(name("ffn_norm.weight")))
    middle = add_and_norm(graph, model, residual, joined, weight, name("middle"))
    gate = project("ffn_gate", middle[0])
    graph.node("Sigmoid", [gate], [name("sigmoid")])
    graph.node("Mul", [gate, name("sigmoid")], [name("silu")])
    inner = graph.node("Mul", [name("silu"), project("ffn_up", middle[0])], [name("inner")])
    after = "output_norm" if layer + 1 == model.layers else f"blk.{layer + 1}.attn_norm"
    weight = graph.constant(after, model.weight(f"{after}.weight"))
    return add_and_norm(graph, model, middle[1], project("ffn_down", inner), weight, name("end"))


def add_and_norm(graph, model, residual, change, weight, name):
    """The norm of the sum, and the sum."""
    outputs = [name, "", "", f"{name}.sum"]
    graph.nodes.append(
        helper.make_node(
            "SkipSimplifiedLayerNormalization",
            [residual, change, weight],
            outputs,
            name=f"norm/{name}",
            domain=CONTRIB,
            epsilon=model.epsilon,
        )
    )
    return outputs[0], outputs[3]


def describe(model, folder):
    """The JSON files beside the weights."""
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    write(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": model.width,
            "intermediate_size": model.inner,
            "num_hidden_layers": model.layers,
            "num_attention_heads": model.heads,
            "num_key_value_heads": model.key_heads,
            "head_dim": model.head_width,
            "vocab_size": len(model.value("tokenizer.ggml.tokens")),
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": model.epsilon,
            "rope_theta": model.rope_base,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            **ends,
        },
    )
    write(folder / "generation_config.json", ends)
    tokens = model.value("tokenizer.ggml.tokens")
    kinds = model.value("tokenizer.ggml.token_type")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": at, "content": text, **plain} for at, text in enumerate(tokens) if kinds[at] == CONTROL]
    bytes_of = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    write(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    {"add_prefix_space": False, **bytes_of},
                ],
            },
            "post_processor": None,
            "decoder": {"add_prefix_space": True, **bytes_of},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {text: at for at, text in enumerate(tokens)},
                "merges": list(model.value("tokenizer.ggml.merges")),
            },
        },
    )
    write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2Tokenizer",
            "bos_token": tokens[1],
            "eos_token": tokens[2],
            "pad_token": tokens[2],
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
            "chat_template": model.value("tokenizer.chat_template"),
        },
    )


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def main():
    source, folder = sys.argv[1], Path(sys.argv[2])
    model = Model(source)
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    plain = folder / "onnx/model.onnx"
    onnx.save(build(model), plain)
    quantize_dynamic(
        plain,
        folder / "onnx/model_quantized.onnx",
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )
    plain.unlink()
    describe(model, folder)


main()
