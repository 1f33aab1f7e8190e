/// LoRA: beside each chosen frozen linear map W, a trained map of rank r.
///
///     y = W x + b + s B A dropout(x)        A: [r, in]    B: [out, r]    s = alpha / r
///
/// A starts Kaiming-uniform and B at zero, so a freshly attached model computes what its base does. Variants:
///
/// - `rslora`: s = alpha / sqrt(r).
/// - `dora`: the rows of W + s B A are stretched to trained lengths m, at first those of W's rows:
///
///       y = m / |W + s B A| (W + s B A) x + b, the norm of a row taken as a constant in the backward pass.
///
/// - `init` = "pissa": of W = U S V^T, A = sqrt(S / s) V^T and B = U sqrt(S / s) for the r largest S, and what is left
///   of W is frozen:
///
///       y = (W - s B_0 A_0) x + b + s B A dropout(x)
///
///   W itself stays as it is here: the base's file can be shared, a 16-bit W is not rounded once more, and the start is
///   the base's to the bit. Its file is the plain LoRA [B, -B_0] [A; A_0] of rank 2 r, as peft converts it, which any
///   reader can put on the untouched base. Read here, it is computed as it was trained (`frozen_half`).
/// - `loraplus_ratio`: B and m learn so many times as fast as A.
/// - `bias`: biases of the base are trained as well, and saved.
///
/// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1, arXiv:2106.09685;
/// Kalajdzievski, "A Rank Stabilization Scaling Factor", 2023, arXiv:2312.03732; Liu et al., "DoRA: Weight-Decomposed
/// Low-Rank Adaptation", ICML 2024, equation 5 and section 4.3, arXiv:2402.09353; Meng et al., "PiSSA: Principal
/// Singular Values and Singular Vectors Adaptation", NeurIPS 2024, equations 2 to 4, arXiv:2404.02948; Hayou et al.,
/// "LoRA+: Efficient Low Rank Adaptation of Large Models", ICML 2024, arXiv:2402.12354. First values, dropout and files
/// are Hugging Face peft's. Differences: the paper draws A from a Gaussian, `init` = "gaussian" of deviation 1 / r in
/// peft; peft takes m of a 16-bit W in 16 bits, which moves the start off the base, where m is float32 here; it rounds
/// PiSSA's A, B and frozen weight to a 16-bit base's type.

#include <peftlab/nn/low_rank.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

class Lora final : public LowRank {
 public:
  using LowRank::LowRank;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Lora, "lora", "trained low-rank update of linear maps", "arXiv:2106.09685", "LORA")

}  // namespace peftlab
