#include "workshop.h"

#include "support/files.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace peftlab::end_to_end {
namespace {

namespace fs = std::filesystem;

struct Colour {
  const char* name;
  std::array<unsigned char, 3> rgb;
};
constexpr std::array<Colour, 6> kColours = {{{"red", {220, 30, 30}},
                                             {"green", {30, 200, 40}},
                                             {"blue", {30, 40, 220}},
                                             {"white", {250, 250, 250}},
                                             {"black", {10, 10, 10}},
                                             {"yellow", {230, 220, 30}}}};

/// A picture of one colour as a binary PPM; `shade` makes pictures of a colour differ.
std::string picture(const Colour& colour, int shade) {
  std::string bytes = "P6\n20 12\n255\n";
  for (int i = 0; i < 20 * 12; ++i) {
    for (const int channel : colour.rgb) bytes += static_cast<char>(std::clamp(channel + shade - i % 3, 0, 255));
  }
  return bytes;
}

constexpr const char* kConfig = R"({
  "model_type": "chatglm", "num_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "inner_hidden_size": 64,
  "vocab_size": 480, "layernorm_epsilon": 1e-5, "max_sequence_length": 64, "position_encoding_2d": true,
  "tie_word_embeddings": true, "residual_alpha_layers": 2, "unk_token_id": 0, "pad_token_id": 3, "mask_token_id": 5,
  "gmask_token_id": 6, "bos_token_id": 7, "eos_token_id": 8, "image_length": 2,
  "eva_config": {"num_layers": 1, "hidden_size": 24, "num_attention_heads": 2, "inner_hidden_size": 32,
                 "layernorm_epsilon": 1e-6, "image_size": [16, 16], "patch_size": 8, "in_channels": 3},
  "qformer_config": {"num_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "inner_hidden_size": 32,
                     "vocab_size": 2, "layernorm_epsilon": 1e-12, "cross_attn_hidden_size": 24, "is_decoder": true}
})";

constexpr const char* kTables = R"(
[data]
plugin = "image_text"
train = "train.csv"
validation = "test.csv"
test = "test.csv"
max_length = 48

[train]
batch_size = 6
threads = 1
)";

constexpr const char* kMetrics = R"(
[[metric]]
plugin = "bleu"
[[metric]]
plugin = "matching_accuracy"
)";

std::string shell_word(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

void run_shell(const std::string& line) {
  if (std::system(line.c_str()) != 0) throw std::runtime_error("failed: " + line);
}

}  // namespace

Workshop::Workshop(const std::string& name) {
  const char* temporary = std::getenv("TMPDIR");
  folder = fs::path(temporary ? temporary : "/tmp") / ("peftlab_" + name + "_" + std::to_string(::getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder / "pictures");
  fs::create_directories(folder / "model");

  std::string train = "image_path,text\n", test = train, captions;
  for (const Colour& colour : kColours) {
    for (int i = 0; i < 5; ++i) {
      const std::string file = fmt::format("pictures/{}{}.ppm", colour.name, i);
      write(file, picture(colour, 4 * i));
      (i < 4 ? train : test) += fmt::format("{},a field of {} colour\n", file, colour.name);
    }
    captions += fmt::format("a field of {} colour\nDescribe the image:\n", colour.name);
  }
  write("train.csv", train);
  write("test.csv", test);
  write("captions.txt", captions);
  std::string symbols = "<n>,[MASK],[gMASK],<sop>,<eop>,<|tab|>";
  for (int blanks = 2; blanks <= 80; ++blanks) symbols += fmt::format(",<|blank_{}|>", blanks);
  run_shell("cd " + shell_word(folder.string()) +
            " && spm_train --input=captions.txt --model_prefix=model/ice_text --model_type=unigram --vocab_size=400 "
            "--hard_vocab_limit=false --byte_fallback=true --unk_id=0 --bos_id=1 --eos_id=2 --pad_id=3 "
            "--user_defined_symbols=" + shell_word(symbols) + " --num_threads=1 >spm.log 2>&1");
  fs::remove(folder / "model/ice_text.vocab");
  write("model/config.json", kConfig);
  write("model/tokenizer_config.json", R"({"num_image_tokens": 0})");

  write("pretrain.toml", fmt::format("schema = 1\n[experiment]\nname = \"pretraining\"\nprimary = \"bleu\"\nseeds = [0]\n"
                                     "[model]\npath = \"model\"\ninit = \"random\"\n{}steps = 12\nlearning_rate = 3e-3\n"
                                     "[[method]]\nlabel = \"scratch\"\nplugin = \"full\"\n{}",
                                     kTables, kMetrics));
  write("compare.toml", fmt::format("schema = 1\n[experiment]\nname = \"colours\"\nbaseline = \"full\"\nprimary = \"bleu\"\n"
                                    "seeds = [0, 1]\n[model]\npretrain = \"pretrain.toml\"\n{}steps = 8\n"
                                    "learning_rate = 1e-3\neval_every = 4\n"
                                    "[[method]]\nlabel = \"full\"\nplugin = \"full\"\n"
                                    "[[method]]\nlabel = \"none\"\nplugin = \"none\"\n"
                                    "[[method]]\nlabel = \"lora-r{{rank}}\"\nplugin = \"lora\"\nrank = 2\nalpha = 4\n{}",
                                    kTables, kMetrics));
}

void Workshop::write(const std::string& file, const std::string& text) const { write_text(folder / file, text); }

Said Workshop::peftlab(const std::vector<std::string>& arguments, const std::function<void()>& meanwhile) const {
  std::string line = "cd " + shell_word(folder.string()) + " && exec " +
                     shell_word(fs::path(std::getenv("PEFTLAB_BINARY_DIR")) / "peftlab");
  for (const std::string& argument : arguments) line += " " + shell_word(argument);
  line += " >out.txt 2>err.txt";
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/bash", "bash", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (meanwhile) meanwhile();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(folder / "out.txt"),
          read_text(folder / "err.txt")};
}

int training_worker(const fs::path& store) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream stream(entry.path() / "cmdline", std::ios::binary);
    const std::string words((std::istreambuf_iterator<char>(stream)), {});
    if (words.find("worker") == std::string::npos) continue;
    const auto run = words.find("--run");
    if (run == std::string::npos) continue;
    const std::string uuid = words.c_str() + run + 6;
    if (fs::exists(store / "work" / uuid / "resume.safetensors")) return std::stoi(name);
  }
  return 0;
}

}  // namespace peftlab::end_to_end
