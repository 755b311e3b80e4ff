"""Chat templates that open a section for the response."""

import copy

import pytest

import fakes
from observe_r1.errors import ModelError
from observe_r1.policy.load import make_policy, save_model
from observe_r1.text.template import open_no_section, opened_section

GENERATION = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ESCAPED = r"{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}"
PLAIN = '{%- if add_generation_prompt %}{{ "<|im_start|>assistant\n<think>" }}{%- endif %}'
EARLIER = "{%- if never %}{{ '<think>' }}{%- endif %}"
UNQUOTED = "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
PUT_TOGETHER = "{% if add_generation_prompt %}<|im_start|>assistant\n<{{ 'think' }}>{% endif %}"


def processor_with(end: str):
    processor = copy.deepcopy(fakes.byte_processor())
    assert processor.chat_template.endswith(GENERATION)
    processor.chat_template = processor.chat_template.removesuffix(GENERATION) + end
    return processor


@pytest.mark.parametrize("end", [ESCAPED, PLAIN, UNQUOTED, EARLIER + ESCAPED, ESCAPED + EARLIER])
def test_a_section_that_the_template_opens_is_left_to_the_model_and_stays_so(end, tmp_path):
    plain = fakes.tiny_policy()
    policy = make_policy(plain.model, processor_with(end), plain.config, source="test")
    assert policy.encode.opened == "think"
    sample = fakes.sample(images=1)
    assert policy.encode.render(sample, "look")[0] == plain.encode.render(sample, "look")[0]
    save_model(policy, tmp_path)
    assert (tmp_path / "chat_template.jinja").read_text() == policy.processor.chat_template
    assert opened_section(policy.processor) is None


def test_a_template_that_opens_nothing_stays_as_it_is():
    processor = fakes.byte_processor()
    template = processor.chat_template
    assert open_no_section(processor) is None
    assert processor.chat_template == template


def test_a_section_that_cannot_be_taken_off_is_refused_and_nothing_is_changed():
    processor = processor_with(PUT_TOGETHER)
    template = processor.chat_template
    with pytest.raises(ModelError, match="opens <think> for every response"):
        open_no_section(processor)
    assert processor.chat_template == template
