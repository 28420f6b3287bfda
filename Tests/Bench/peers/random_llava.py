"""LLaVA-1.5 of several sizes in transformers, with random weights, as the peers here run it."""
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

IMAGE_ROWS, IMAGE_TOKEN = 576, 32000
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
DECODERS = {
    "7b": dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32),
    # TinyLlama's shape
    "1b": dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4),
    "tiny": dict(hidden_size=256, intermediate_size=704, num_hidden_layers=2, num_attention_heads=4),
}
BLOCK = 4_194_301  # values drawn; odd, so that no two rows of a matrix are alike


def make(size, dtype, layers=None):
    decoder = dict(DECODERS[size])
    if layers:
        decoder["num_hidden_layers"] = layers
    vision = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336,
                              patch_size=14, projection_dim=768)
    text = LlamaConfig(vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5, **decoder)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN, vision_feature_layer=-2,
                         vision_feature_select_strategy="default")
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config).to(dtype)
    model = model.to_empty(device="cpu")
    block = (torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    at = 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.fill_(1)
                continue
            flat, filled = parameter.view(-1), 0
            while filled < flat.numel():
                count = min(BLOCK - at, flat.numel() - filled)
                flat[filled:filled + count] = block[at:at + count]
                filled, at = filled + count, (at + count) % BLOCK
        for name, buffer in model.named_buffers():
            if name.endswith("position_ids"):
                buffer.copy_(torch.arange(buffer.shape[-1]).expand(buffer.shape))
            elif name.endswith("inv_freq"):
                width = decoder["hidden_size"] // decoder["num_attention_heads"]
                buffer.data = 1 / 10000 ** (torch.arange(0, width, 2).float() / width)
    model.tie_weights()
    return model.eval()


def prompt_ids(total, count=1):
    """Prompts of `total` positions, the picture's 576 among them."""
    text = torch.randint(5, 31000, (count, total - IMAGE_ROWS))
    before = min(35, text.shape[1] // 2)
    return torch.cat([text[:, :before], torch.full((count, IMAGE_ROWS), IMAGE_TOKEN), text[:, before:]], 1)


def pictures(count, dtype):
    return torch.randn(count, 3, 336, 336).to(dtype)


class TokenTimes:
    """A streamer that notes when each token came."""

    def __init__(self, clock):
        self.clock, self.times = clock, []

    def put(self, _):
        self.times.append(self.clock())

    def end(self):
        pass
