"""Renders chat templates as the reference does: Python's jinja2, set up the way Hugging Face's transformers
does it for `apply_chat_template`.

    pip install jinja2==3.1.6 gguf
    python3 make.py TEMPLATES [MODEL.gguf ...] > vectors.json

TEMPLATES is a folder of *.jinja files: `models/templates` of llama.cpp, which `cargo xtask test` brings into
`vocabularies/templates` of the cache. What is written holds, for each template, the hash of its source and of what
it makes of each conversation in conversations.json; null where it refuses.

    python3 make.py --show TEMPLATE.jinja [CONVERSATION]

prints the text itself.
"""

import datetime
import hashlib
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = 1753351440  # 2025-07-24 10:04:00
BEGIN, END = "<s>", "</s>"
HERE = pathlib.Path(__file__).parent


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what to train on and prints what is in it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_print"), [], [], body).set_lineno(line)

    def _print(self, caller):
        return caller()


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(form)


def render(source, conversation, tools):
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = strftime_now
    return environment.from_string(source).render(
        messages=conversation["messages"],
        tools=tools if conversation.get("tools") else None,
        documents=None,
        add_generation_prompt=conversation["add_generation_prompt"],
        bos_token=BEGIN,
        eos_token=END,
        **conversation.get("variables", {}),
    )


def from_model(path):
    import gguf

    field = gguf.GGUFReader(path).get_field("tokenizer.chat_template")
    return field.contents() if field else None


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def main(arguments):
    cases = json.loads((HERE / "conversations.json").read_text())
    if arguments[0] == "--show":
        source = pathlib.Path(arguments[1]).read_text()
        for name, conversation in cases["conversations"].items():
            if name in arguments[2:] or not arguments[2:]:
                print(f"=== {name}")
                print(render(source, conversation, cases["tools"]))
        return
    sources = {path.name: path.read_text() for path in sorted(pathlib.Path(arguments[0]).glob("*.jinja"))}
    for path in arguments[1:]:
        source = from_model(path)
        if source:
            sources[pathlib.Path(path).name] = source
    lines = []
    for name, source in sources.items():
        outputs = []
        for conversation in cases["conversations"].values():
            try:
                outputs.append(digest(render(source, conversation, cases["tools"])))
            except Exception as error:
                print(f"{name}: {error!r}", file=sys.stderr)
                outputs.append(None)
        lines.append(f"  {json.dumps(name)}: {json.dumps([digest(source), *outputs])}")
    print("{\n" + ",\n".join(lines) + "\n}")


main(sys.argv[1:])
