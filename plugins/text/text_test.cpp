/// The data set as the program loads it: files of every form, what they are turned into, and refusals that name file,
/// line and column.

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace peftlab {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<Dataset> make_dataset(const Table& options = {}) {
  const char* build = std::getenv("PEFTLAB_BINARY_DIR");
  static void* library = ::dlopen((fs::path(build ? build : ".") / "plugins/text.so").c_str(), RTLD_NOW);
  if (!library) throw PluginError(::dlerror());
  const auto* manifest = static_cast<const Manifest*>(::dlsym(library, "peftlab_plugin"));
  Params params(options, "plugin text");
  std::unique_ptr<Dataset> dataset(static_cast<Dataset*>(manifest->create(&params)));
  params.finish();
  return dataset;
}

std::string hex_sha256(const std::string& bytes) {
  unsigned char digest[32];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string out;
  for (const unsigned char byte : digest) out += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  return out;
}

/// A template with its verbalizer, and whatever else.
Table moods(Table more = {}) {
  more["template"] = "{text} The mood is";
  more["verbalizer"] = Table{{"0", " bad"}, {"1", " good"}};
  return more;
}

class TextTest : public ::testing::Test {
 protected:
  TextTest() : folder_(fs::temp_directory_path() / ("peftlab_text_test_" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~TextTest() override { fs::remove_all(folder_); }

  std::unique_ptr<Dataset> open(const std::string& name, const std::string& content, const Table& options = {}) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    auto dataset = make_dataset(options);
    dataset->open(folder_ / name, std::nullopt);
    return dataset;
  }
  std::string refusal(const std::string& name, const std::string& content, const Table& options = {}) {
    try {
      open(name, content, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "(accepted)";
  }

  fs::path folder_;
};

/// "prompt|target|label" of every example.
std::vector<std::string> examples(const Dataset& dataset) {
  std::vector<std::string> all;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Example example = dataset.example(i);
    EXPECT_FALSE(example.has_image);
    all.push_back(example.prompt + "|" + example.target + "|" + example.label);
  }
  return all;
}
using Examples = std::vector<std::string>;

TEST_F(TextTest, ReadsEveryFormFromJsonLines) {
  EXPECT_EQ(examples(*open("d.jsonl",
                           "{\"prompt\": \"2+2=\", \"completion\": \" 4\", \"id\": [1, {\"text\": null}]}\n"
                           "{\"completion\": \"\", \"prompt\": \"红\\n\"}")),
            (Examples{"2+2=| 4|", "红\n||"}));
  EXPECT_EQ(examples(*open("d.jsonl", "{\"text\": \"one\"}\n{\"text\": \"\"}\n")), (Examples{"|one|", "||"}));
  EXPECT_EQ(examples(*open("d.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": -3}\n")),
            (Examples{"|a|x", "|b|-3"}));
  EXPECT_EQ(examples(*open("d.jsonl", "{\"content\": \"类型#裙\", \"summary\": \"长裙\"}\n")),
            (Examples{"类型#裙|长裙|"}));
  // A label that is null is none.
  EXPECT_EQ(examples(*open("d.jsonl", "{\"text\": \"a\", \"label\": null}\n")), (Examples{"|a|"}));
}

TEST_F(TextTest, ReadsArraysLinesAndCsvAlike) {
  const std::string first = R"({"text": "one, \"[two]\\", "label": 1})", second = R"({"label": "b}", "text": "x\ny"})";
  const Examples wanted = {"|one, \"[two]\\|1", "|x\ny|b}"};
  for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{
           {"d.json", "\xEF\xBB\xBF [\n" + first + "\n,\r\n" + second + "\n]\n\n"},
           {"d.json", first + "\n" + second},
           {"d.jsonl", "[" + first + "," + second + "]"},
           {"d.jsonl", "\xEF\xBB\xBF" + first + "\r\n\r\n  \n" + second + "\r\n"},
           {"d.ndjson", "\n\n" + first + "\n" + second + "\n"}}) {
    EXPECT_EQ(examples(*open(name, content)), wanted) << content;
  }
  EXPECT_EQ(examples(*open("d.csv",
                           "\xEF\xBB\xBF"
                           "label,text\r\n1,\"one, \"\"[two]\\\"\"\"\r\n\r\nb}, an \"inner\" one\r\n"
                           "\"\"\"\",\"x\r\ny\"")),
            (Examples{"|one, \"[two]\\\"|1", "| an \"inner\" one|b}", "|x\r\ny|\""}));
}

TEST_F(TextTest, AnyTextComesBackFromEveryFormat) {
  const std::vector<std::string> parts = {"a", ",", "\"", "\n", "\r", "\\", "{", "]", " ", "红", "\t", "\"\""};
  std::mt19937_64 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::string csv = "prompt,completion\r\n", lines, array = "[";
    Examples wanted;
    for (uint64_t row = 1 + random() % 5; row > 0; --row) {
      std::array<std::string, 2> fields;
      for (std::string& field : fields) {
        for (uint64_t n = random() % 8; n > 0; --n) field += parts[random() % parts.size()];
        std::string quoted = field;
        for (size_t at = 0; (at = quoted.find('"', at)) != std::string::npos; at += 2) quoted.insert(at, "\"");
        csv += "\"" + quoted + (&field == &fields[0] ? "\"," : random() % 2 ? "\"\n" : "\"\r\n");
      }
      wanted.push_back(fields[0] + "|" + fields[1] + "|");
      const std::string object = to_json(Table{{"prompt", fields[0]}, {"completion", fields[1]}});
      lines += object + "\n";
      array += object + (row > 1 ? "," : "]");
    }
    ASSERT_EQ(examples(*open("d.csv", csv)), wanted) << csv;
    ASSERT_EQ(examples(*open("d.jsonl", lines)), wanted) << lines;
    ASSERT_EQ(examples(*open("d.json", array)), wanted) << array;
  }
}

TEST_F(TextTest, KnowsWhereExamplesStand) {
  const auto lines = open("d.jsonl", "\n{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n");
  EXPECT_EQ(lines->place(0), (folder_ / "d.jsonl:2").string());
  EXPECT_EQ(lines->place(1), (folder_ / "d.jsonl:4").string());
  EXPECT_EQ(open("d.csv", "text\n\"a\nb\nc\"\nd\n")->place(1), (folder_ / "d.csv:5").string());
  EXPECT_EQ(open("d.json", "[{\"text\": \"a\"},\n{\"text\":\n\"b\"}\n,\n\n{\"text\": \"c\"}]")->place(2),
            (folder_ / "d.json:6").string());
}

TEST_F(TextTest, ReadsColumnsOfOtherNames) {
  EXPECT_EQ(
      examples(*open("d.csv", "question,answer,text\nq,a,t\n", {{"prompt", "question"}, {"completion", "answer"}})),
      (Examples{"q|a|"}));
  // A name that was chosen says which form is meant.
  const std::string both = "prompt,completion,text,label\np,c,t,l\n";
  EXPECT_EQ(examples(*open("d.csv", both)), (Examples{"p|c|"}));
  EXPECT_EQ(examples(*open("d.csv", both, {{"text", "text"}})), (Examples{"|t|l"}));
  EXPECT_EQ(examples(*open("d.csv", "sentence,mood\ns,m\n", {{"text", "sentence"}})), (Examples{"|s|"}));
  EXPECT_EQ(examples(*open("d.csv", "sentence,mood\ns,m\n", {{"text", "sentence"}, {"label", "mood"}})),
            (Examples{"|s|m"}));
  EXPECT_THAT(refusal("d.csv", "sentence,mood\ns,m\n", {{"text", "sentence"}, {"label", "moods"}}),
              HasSubstr("d.csv:1: has the columns mood, sentence; wanted are sentence and moods"));
}

TEST_F(TextTest, PutsClassesIntoWords) {
  const auto dataset = open("d.csv", "text,label\nFine.,1\nAwful {text}.,0\n", moods());
  EXPECT_EQ(examples(*dataset), (Examples{"Fine. The mood is| good|1", "Awful {text}. The mood is| bad|0"}));
  EXPECT_EQ(dataset->choices(), (std::vector<Choice>{{"0", " bad"}, {"1", " good"}}));
  EXPECT_TRUE(open("d.csv", "text,label\nFine.,1\n")->choices().empty());

  const Table pair{{"template", "{{{premise}}} {n}: {hypothesis}?"}, {"verbalizer", Table{{"no", "n"}, {"yes", "y"}}}};
  EXPECT_EQ(examples(*open("d.jsonl", R"({"premise": "P", "hypothesis": "H", "n": 7, "label": "yes"})", pair)),
            (Examples{"{P} 7: H?|y|yes"}));
  EXPECT_EQ(examples(*open("d.csv", "sentence,label\ns,1\n", moods({{"text", "sentence"}}))),
            (Examples{"s The mood is| good|1"}));
  EXPECT_THAT(refusal("d.csv", "text,label\na,1\nb,2\n", moods()),
              HasSubstr("d.csv:3: `verbalizer` has no words for label \"2\""));
  EXPECT_THAT(refusal("d.jsonl", "{\"premise\": \"P\", \"label\": \"yes\"}", pair),
              HasSubstr("d.jsonl:1: has the columns label, premise; wanted are premise, n, hypothesis and label"));
}

TEST_F(TextTest, RefusesOptionsThatMeanNothing) {
  const Table words{{"a", "x"}, {"b", "y"}};
  const auto with = [&](const char* prompt) { return Table{{"template", prompt}, {"verbalizer", words}}; };
  for (const auto& [options, message] : std::vector<std::pair<Table, std::string>>{
           {{{"template", "{text}"}}, "`template` needs a `verbalizer`"},
           {{{"verbalizer", words}}, "`verbalizer` needs a `template`"},
           {with("no column"), "names no column"},
           {with("{text"), "has a { that"},
           {with("{}"), "has a { that"},
           {with("{text} }"), "has a } that"},
           {with("{text} is {label}"), "shows the column label"},
           {{{"template", "{text}"}, {"verbalizer", Table{{"a", "x"}}}}, "at least two labels"},
           {{{"template", "{text}"}, {"verbalizer", Table{{"a", "x"}, {"b", "x"}}}}, "for two labels"},
           {{{"template", "{text}"}, {"verbalizer", Table{{"a", "x"}, {"b", 1}}}}, "no words for label \"b\""},
           {{{"shots", -1}}, "`shots` must be in [0, 1000], found the integer -1"},
           {{{"pack", true}, {"shots", 1}}, "`pack` is for plain texts"},
           {{{"prompt", "q"}, {"text", "t"}}, "`text` cannot be given beside"},
           {{{"promt", "q"}}, "promt"}}) {
    try {
      make_dataset(options);
      ADD_FAILURE() << "accepted: " << to_json(options);
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
}

TEST_F(TextTest, ShowsShots) {
  const auto dataset =
      open("d.jsonl", "{\"prompt\": \"1\", \"completion\": \"a\"}\n{\"prompt\": \"2\", \"completion\": \"b\"}\n",
           {{"shots", 1}, {"shots_separator", " ; "}});
  dataset->demonstrate_with(*dataset);
  // With two examples and one shot, each shows the other.
  EXPECT_EQ(examples(*dataset), (Examples{"2b ; 1|a|", "1a ; 2|b|"}));
}

TEST_F(TextTest, ShowsTheSameBalancedShotsButNeverTheExampleItself) {
  std::string train = "text,label\n";
  for (int i = 0; i < 40; ++i) train += "t" + std::to_string(i) + "," + (i % 8 == 0 ? "1" : "0") + "\n";
  const auto shots_of = [](const Example& example) {
    std::vector<std::string> shots;
    for (size_t at = 0; at < example.prompt.size();) {
      const size_t end = example.prompt.find("\n\n", at);
      if (end == std::string::npos) break;
      shots.push_back(example.prompt.substr(at, end - at));
      at = end + 2;
    }
    return shots;
  };
  const auto good = [](const std::vector<std::string>& shots) {
    return std::count_if(shots.begin(), shots.end(), [](auto& shot) { return shot.ends_with(" good"); });
  };
  std::set<std::vector<std::string>> by_seed;
  for (const int seed : {0, 1, 2}) {
    const Table options = moods({{"shots", 4}, {"shots_seed", seed}});
    const auto first = open("train.csv", train, options);
    const auto test = open("test.csv", "text,label\nt0,0\nnew,1\nother,0\n", options);
    test->demonstrate_with(*first);
    first->demonstrate_with(*first);
    const auto shown = shots_of(test->example(0));
    by_seed.insert(shown);
    ASSERT_EQ(shown.size(), 4u);
    EXPECT_EQ(good(shown), 2);
    EXPECT_EQ(test->example(1).prompt.substr(test->example(1).prompt.rfind("\n\n")), "\n\nnew The mood is");
    EXPECT_EQ(shots_of(test->example(1)), shown);
    EXPECT_EQ(shots_of(test->example(2)), shown);
    int replaced = 0;
    for (int64_t i = 0; i < first->size(); ++i) {
      const Example example = first->example(i);
      const auto shots = shots_of(example);
      const std::string own = "t" + std::to_string(i) + " The mood is" + example.target;
      EXPECT_EQ(std::count(shots.begin(), shots.end(), own), 0) << i;
      EXPECT_EQ(std::set<std::string>(shots.begin(), shots.end()).size(), 4u);
      EXPECT_EQ(good(shots), 2) << i;
      if (shots != shown) ++replaced;
    }
    EXPECT_EQ(replaced, 4);
  }
  EXPECT_EQ(by_seed.size(), 3u);
}

TEST_F(TextTest, AShotThatReadsLikeTheExampleIsNotShown) {
  const Table options = moods({{"shots", 2}});
  const auto train = open("train.csv", "text,label\nsame,1\nsame,1\nother,1\nb,0\nc,0\n", options);
  const auto test = open("test.csv", "text,label\nsame,1\n", options);
  train->demonstrate_with(*train);
  test->demonstrate_with(*train);
  for (const Example& example : {train->example(0), train->example(1), test->example(0)}) {
    EXPECT_THAT(example.prompt,
                AllOf(HasSubstr("other The mood is good\n\n"), ::testing::Not(HasSubstr("same The mood is good"))));
  }
}

TEST_F(TextTest, ShotsNeedATrainingSplit) {
  const auto dataset = open("d.csv", "text,label\na,1\nb,0\n", moods({{"shots", 2}}));
  try {
    dataset->example(0);
    FAIL() << "no exception";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("`shots` = 2: there is no training split to take them from"));
  }
  EXPECT_THROW(dataset->demonstrate_with(*dataset), ConfigError);  // two examples, and none may be shown to itself
  EXPECT_THAT(refusal("d.csv", "text\na\n", {{"shots", 1}}), HasSubstr("`shots` needs prompts"));
  EXPECT_THAT(refusal("d.csv", "text,label\na,1\n", {{"shots", 1}}), HasSubstr("d.csv:1 has text and label"));
}

TEST_F(TextTest, PacksPlainTextsOnly) {
  EXPECT_TRUE(open("d.jsonl", "{\"text\": \"a\"}", {{"pack", true}})->packed());
  EXPECT_FALSE(open("d.jsonl", "{\"text\": \"a\"}")->packed());
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\", \"label\": 1}", {{"pack", true}}),
              AllOf(HasSubstr("`pack` is for plain texts"), HasSubstr("d.jsonl:1 has text and label")));
}

TEST_F(TextTest, NamesTheLineOfABadRecord) {
  const auto here = [&](const std::string& rest) { return HasSubstr((folder_ / rest).string()); };
  EXPECT_THAT(
      refusal("d.jsonl", "{\"text\": \"a\"}\n\n{\"prompt\": \"p\", \"completion\": \"c\"}\n"),
      here("d.jsonl:3: has prompt and completion, where line 1 has text: the examples of a file must all be of one"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\", \"label\": null}\n"),
              here("d.jsonl:2: has text, where line 1 has text and label"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"a\"}\n"),
              here("d.jsonl:2: has the columns txt, where line 1 has text"));
  EXPECT_THAT(
      refusal("d.jsonl", "{\"prompt\": \"a\", \"completion\": null}\n"),
      here("d.jsonl:1: has the columns completion (null), prompt; wanted are prompt and completion; or content and "
           "summary; or text and label; or text"));
  EXPECT_THAT(refusal("d.jsonl", "{}\n"), here("d.jsonl:1: has no columns; wanted"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": 5}\n"), here("d.jsonl:1: column text must be a string, found an integer"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\", \"label\": 0.5}\n"),
              here("d.jsonl:1: column label must be a string or an integer, found a real number"));
  EXPECT_THAT(refusal("d.csv", "text,label\na,x\nb,\n"), here("d.csv:3: column label is empty"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\"}\n7\n"),
              here("d.jsonl:2: an example must be an object, this is an integer"));
  EXPECT_THAT(refusal("d.jsonl", "\n{\"text\": \"a\"} {\"text\": \"b\"}\n"), here("d.jsonl:2:15: not JSON"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\", \"text\": \"b\"}\n"), HasSubstr("the key \"text\" is there twice"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xFF\"}\n"), here("d.jsonl:2: is not UTF-8 here"));
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\\ud800\"}\n"), here("d.jsonl:2:"));
  EXPECT_THAT(refusal("d.jsonl", std::string("{\"text\": \"a\"}\n{\"text\": \"\0\"}\n", 29)),
              here("d.jsonl:2: holds a byte that is 0"));
  EXPECT_THAT(refusal("d.jsonl", "\n \n"), here("d.jsonl: holds no examples"));
}

TEST_F(TextTest, NamesTheLineOfBrokenCsvAndArrays) {
  const auto here = [&](const std::string& rest) { return HasSubstr((folder_ / rest).string()); };
  EXPECT_THAT(refusal("d.csv", "text\n\"a\nb\"\n\n\"x\ny\nz"),
              here("d.csv:5: a quoted field begins here and is never closed"));
  EXPECT_THAT(refusal("d.csv", "text\n\"a\nb\"c\n"),
              here("d.csv:3: after a quoted field's closing quote comes neither"));
  EXPECT_THAT(refusal("d.csv", "text,id\na\n"), here("d.csv:2: has 1 fields, the header has 2"));
  EXPECT_THAT(refusal("d.csv", "text,id,text\na\n"), here("d.csv:1: names column \"text\" twice"));
  EXPECT_THAT(refusal("d.csv", "caption\n"),
              here("d.csv:1: has the columns caption; wanted are prompt and completion;"));
  EXPECT_THAT(refusal("d.csv", "text\n\"a\nb\xC3(\"\n"), here("d.csv:3: is not UTF-8 here"));
  EXPECT_THAT(refusal("d.csv", "text\n"), here("d.csv: holds no examples"));
  EXPECT_THAT(refusal("d.csv", ""), here("d.csv:1: is empty"));
  EXPECT_THAT(refusal("d.json", "[\n{\"text\": \"a\"},\n {\"text\": \"b\",}]"), here("d.json:3:15: not JSON"));
  EXPECT_THAT(refusal("d.json", "[{\"text\": \"a\"},\n]"), here("d.json:2: an element is missing in front of \"]\""));
  EXPECT_THAT(refusal("d.json", "\n[{\"text\": \"a\"}\n"), here("d.json:2: an array begins here and is never closed"));
  EXPECT_THAT(refusal("d.json", "[{\"text\": \"a\"}\n{\"text\": \"b\"}]"), here("d.json:2:1: not JSON"));
  EXPECT_THAT(refusal("d.json", "[{\"text\": \"a\"]\n"), here("d.json:1:14: not JSON"));
  EXPECT_THAT(refusal("d.json", "[{\"text\": \"a\"}] x"), here("d.json:1: after the array's end there is more text"));
  EXPECT_THAT(refusal("d.json", "[]"), here("d.json: holds no examples"));
  EXPECT_THAT(refusal("d.txt", "x"), HasSubstr("ends in \".txt\"; read are .csv, .json, .jsonl and .ndjson"));
  EXPECT_THROW(make_dataset()->open(folder_ / "absent.csv", std::nullopt), FormatError);
  ::mkfifo((folder_ / "pipe.csv").c_str(), 0600);
  EXPECT_THROW(make_dataset()->open(folder_ / "pipe.csv", std::nullopt), FormatError);
}

TEST_F(TextTest, LinesMayBeLongUpToALimit) {
  const std::string megabytes(3 << 20, 'x');
  const auto dataset = open("d.jsonl", "{\"text\": \"" + megabytes + "\"}\n{\"text\": \"short\"}\n");
  EXPECT_EQ(dataset->example(0).target, megabytes);
  EXPECT_EQ(dataset->example(1).target, "short");
  const std::string too_long(65 << 20, 'x');
  EXPECT_THAT(refusal("d.jsonl", "{\"text\": \"a\"}\n{\"text\": \"" + too_long + "\"}\n"),
              HasSubstr("d.jsonl:2: a record begins here that is longer than 64 MiB"));
  EXPECT_THAT(refusal("d.csv", "text,id\n\n\"a\nb\",\"" + too_long),
              HasSubstr("d.csv:4: a quoted field begins here and is not closed within 64 MiB"));
}

/// The most memory this process has held since it was last asked, in bytes.
int64_t peak_memory() {
  int64_t kibibytes = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) kibibytes = std::stoll(line.substr(6));
  }
  std::ofstream("/proc/self/clear_refs") << "5";
  return kibibytes << 10;
}

TEST_F(TextTest, ALargeFileIsNotHeldInMemory) {
  const fs::path file = folder_ / "large.csv";
  const std::string row = std::string(1 << 16, 'x') + "\n";
  std::ofstream stream(file, std::ios::binary);
  stream << "text\n";
  for (int i = 0; i < 1536; ++i) stream << row;  // 96 MiB
  stream.close();
  peak_memory();
  const int64_t before = peak_memory();
  const auto dataset = make_dataset();
  dataset->open(file, std::nullopt);
  EXPECT_EQ(dataset->size(), 1536);
  EXPECT_EQ(dataset->example(1535).target.size(), row.size() - 1);
  EXPECT_LT(peak_memory() - before, int64_t{32} << 20);
}

TEST_F(TextTest, FingerprintIsTheFilesChecksum) {
  const std::string content =
      "\xEF\xBB\xBF"
      "text,label\r\na,1\r\n";
  EXPECT_EQ(open("d.csv", content)->fingerprint(), hex_sha256(content));
  EXPECT_EQ(open("d.csv", content, moods())->fingerprint(), hex_sha256(content));
}

TEST_F(TextTest, RefusesAFileThatChangedAfterOpening) {
  const auto dataset = open("d.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  std::ofstream(folder_ / "d.jsonl", std::ios::binary) << "{\"text\": \"a\"}\n{\"text\": \"c\"}\n";
  EXPECT_EQ(dataset->example(0).target, "a");
  try {
    dataset->example(1);
    FAIL() << "the changed line was taken";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("d.jsonl:2: has changed since the file was opened"));
  }
}

TEST_F(TextTest, GivesTheSameExamplesToSeveralThreads) {
  std::string content;
  for (int i = 0; i < 2000; ++i) content += "{\"text\": \"example " + std::to_string(i) + "\"}\n";
  const auto dataset = open("d.jsonl", content);
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = t; i < 2000; i += 3) wrong[t] += dataset->example(i).target != "example " + std::to_string(i);
      });
    }
  }
  EXPECT_EQ(wrong, (std::vector<int>{0, 0, 0, 0}));
}

}  // namespace
}  // namespace peftlab
