"""A model of 0.4 MB with random weights in which one character is one token.

    HF_HUB_OFFLINE=1 .venv-vllm/bin/python tools/vllm/make_model.py FOLDER

What it says means nothing, but at temperature 0 it is always the same, and any beginning of it is again
the tokens that were generated. So an answer that is cut after any character and continued must come
out exact, and a character that was lost or doubled shows. It never ends by itself.
"""

import string
import sys

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

CONTEXT = 2048
SEED = 7
NOTHING, BEGIN, END, UNKNOWN = SPECIAL = ["<|nothing|>", "<|begin|>", "<|end|>", "<|unknown|>"]
CHARACTERS = ["\n", " ", *string.digits, *string.ascii_letters, *string.punctuation]
TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|begin|>' + m['role'] + '\\n' + m['content'] }}{{ '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|begin|>assistant\\n' }}{% endif %}")


def make_tokenizer() -> PreTrainedTokenizerFast:
    numbers = {token: n for n, token in enumerate([*SPECIAL, *CHARACTERS])}
    each = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    each.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    each.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=each, pad_token=NOTHING, bos_token=BEGIN, eos_token=END, unk_token=UNKNOWN,
        chat_template=TEMPLATE, model_max_length=CONTEXT, clean_up_tokenization_spaces=False)


def make_model(tokens: int) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=tokens, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=CONTEXT,
        pad_token_id=SPECIAL.index(NOTHING), bos_token_id=SPECIAL.index(BEGIN),
        eos_token_id=SPECIAL.index(END), tie_word_embeddings=False,
        # Large weights: the next character depends on all before it, and no text repeats itself.
        initializer_range=0.5))
    with torch.no_grad():
        # A special token would be lost in the text; their score is below the best of 96 others.
        model.lm_head.weight[:len(SPECIAL)] = 0
    return model.to(torch.bfloat16)


def main(folder: str) -> None:
    logging.disable_progress_bar()
    tokenizer = make_tokenizer()
    sample = "".join(CHARACTERS)
    if tokenizer.decode(tokenizer.encode(sample)) != sample:
        raise SystemExit("the tokenizer does not give back what it is given")
    tokenizer.save_pretrained(folder)
    make_model(len(tokenizer)).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
