"""What the tokenizers of this oracle are trained on, and the texts they are asked about."""

import random

TRAINING = """
The small boat left the harbour before sunrise, and nobody on the quay saw it go.
We'll see whether they've finished; I'm sure she'd say it isn't what he's asked for. DON'T shout, it's 7 o'clock!
In 2024 the river rose by 3.25 metres, 1,250,000 litres a second passed the bridge, and 40% of the fields were lost.
def area(width: float, height=2.5): return width * height  # a comment, then\n\tif x >= 10 and y != 0: print("no")
Les élèves ont mangé des crêpes à l'école; où êtes-vous né, Noël? Ça coûte 12 € la pièce.
Die Straße führt über die Brücke; große Bäume, schöne Häuser, süße Äpfel. Überall hört man Vögel.
Маленькая лодка вышла из гавани до рассвета, и никто её не видел. Сколько стоит хлеб?
小船在日出之前离开了港口,没有人看见它。今天天气很好,我们去公园吧。
小さな船は夜明け前に港を出た。カタカナとひらがなとローマ字を書く。
작은 배가 해 뜨기 전에 항구를 떠났다. 아무도 보지 못했다.
غادر القارب الصغير الميناء قبل شروق الشمس ولم يره أحد. السلام عليكم
เรือลำเล็กออกจากท่าก่อนพระอาทิตย์ขึ้น ไม่มีใครเห็น
छोटी नाव सूर्योदय से पहले बंदरगाह से निकल गई। नमस्ते दुनिया
Ένα μικρό καράβι έφυγε από το λιμάνι. ΟΔΟΣ ΣΟΦΙΑΣ
https://example.org/path/to/page?query=value&other=1#part and mail@example.org, C:\\\\path\\\\file.txt
a red heart ❤️, a smile 😀😃, a family 👨‍👩‍👧, flags 🇩🇪🇫🇷, a hand 👍🏽 and more 🎉🎉
hello hello hello world world the the the of and to in is it that was for on are as with his they at be this
"""


def training():
    return [line for line in TRAINING.strip().split("\n")] * 3


WRITTEN = [
    "", " ", "  ", "   \t ", "\n", "\r\n", "\t", "a", " a", "a ", " a b  c   d    e ", "hello world", "Hello World",
    "HELLO, World! It's 5 o'clock; we'll go. They've said I'm late, he'd know, you're right, isn't it? DON'T, IT'S, WE'LL",
    "I'M HE'D YOU'RE THEY'VE 's 't 're 've 'm 'll 'd 'S 'T 'RE don\u2019t '\u017f x'\u017f", "a\n\nb\n c \n\n\nd", "a\r\nb\r\n\r\nc \r\n d",
    "a\tb\t\tc \t d", "trailing   ", "   leading", "mid      dle", "a" + " " * 40 + "b", "\n" * 7 + "x", " \n \n ", "\u00a0a\u00a0b\u00a0\u00a0c",
    "a\u200bb\u200c\u200dc\ufeffd\u2060e", "a\u0085b \u0085 c", "a\u2028b\u2029c", "a\u1680b\u2003c\u3000d\u202fe\u180ef", "\x00\x01\x08\x0b\x0c\x0e\x1b\x1f\x7f",
    "a\x00b\x0bc\x0cd\x1ce\x7ff", "0", "12", "123", "1234", "1234567890" * 3, "3.14159 1,000,000 1e-10 0x1F", "a1b22c333d4444",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u0e51\u0e52 \uff11\uff12\uff13 \u2167 \u00bd \u00b2\u00b3\u00b9 \u2460 \U0001d7d8\U0001d7d9", "def f(x):\n    return x**2  # why\n\nclass A:\n\tpass\n",
    "int main(){printf(\"%d\\n\",42);return 0;}", "for(i=0;i<10;++i){a[i]+=b[i]*c;}", "x==y!=z<=w>=v&&u||!t", "SELECT * FROM t WHERE a='b';", "<div class=\"x\">text</div>",
    "https://example.org/path/to/page?query=value&other=1#part", "mail@example.org", "C:\\path\\file.txt", "snake_case camelCase PascalCase kebab-case", "foo_bar__baz___", "...", "!!!???", "--- *** ___ ===", "(a) [b] {c} <d>", "\u201cquoted\u201d \u2018single\u2019 \u00abguillemets\u00bb", "a\u2014b\u2013c\u2026d",
    "\u00bf\u00a1\u00a7\u00b6\u2020 \u20ac\u00a3\u00a5\u20bf \u00b1\u00d7\u00f7 \u2260\u2264\u2265 \u221e\u222b", "$1.00 +5% ^ ` ~ | = < >", "caf\u00e9", "cafe\u0301", "cafe\u0301\u0301\u0327", "\u00c5ngstr\u00f6m \u212bngstr\u00f6m", "na\u00efve co\u00f6perate \u00c6sop \u0152uvre", "stra\u00dfe STRASSE Stra\u1e9ee", "\u0130stanbul \u0131 I i", "\u01c4\u01c5\u01c6 \u0132\u0133 \ufb01\ufb02\ufb03 \ufb05", "\u039f\u0394\u039f\u03a3 \u03a3\u039f\u03a6\u0399\u0391\u03a3 \u03c3\u03c2\u03a3", "\u1e9b\u0323 \u1e69 s\u0323\u0307 s\u0307\u0323", "q\u0307\u0323 a\u0300\u0323\u0316 \u0344 \u0340", "\u0958 \u0915\u093c \u2adc \u2add\u0338", "\u1100\u1161\u11a8 \uac01 \uac00\u11a8 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\ud55c\uad6d\uc5b4\ub97c \uacf5\ubd80\ud569\ub2c8\ub2e4.", "\u4f60\u597d,\u4e16\u754c!", "\u4e2d\u6587abc\u4e2d\u6587123\u3002", "\u5c0f\u8239\u5728\u65e5\u51fa\u4e4b\u524d\u79bb\u5f00\u4e86", "\u3400\u4dbf \U00020000\U0002a6df \U0002a700\U0002b740 \U0002b820\U0002b91f\U0002b920 \uf900\U0002f800 \U00030000 \U0002ebf0", "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\u3002\u30ab\u30bf\u30ab\u30ca\u30fc", "\uff76\uff9e\uff77\uff9e \uff21\uff22\uff23 \uff0c\uff0e\uff01 \u3000x", "\u3350 \u32ff \u3371 \u2103 \u2122 \u00aa\u00ba", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0627\u0644\u0633\u0651\u064e\u0644\u0627\u0645\u064f \u0639\u064e\u0644\u064e\u064a\u0652\u0643\u064f\u0645\u0652\u060c \u061f \u061d", "\ufefb \ufdfa \ufe8d", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a \u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u0e33 \u0eb3 \u0e19\u0e33", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964 \u0915\u094d\u0937", "\u0ba8\u0bbf \u0b95\u0bcd\u0bb7 \u0d15\u0d4d\u0d37", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0401\u043b\u043a\u0430 \u0439 \u0438\u0306", "\u0391\u03c5\u03c4\u03cc \u03b5\u03af\u03bd\u03b1\u03b9 \u1f00\u1f70\u1fb6\u1fbe", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0 \u1c90\u1c91 \u13a0\u13a1 \uab70", "\U00010400\U00010401 \U00010428 \U0001e900\U0001e922 \U00010c80", "\U0001d400\U0001d41a\U0001d7ce \U0001d56c\U0001f130", "\u2f00\u2f01 \u3164 \u115f \uffa0",
    "\U0001f600", "\U0001f600\U0001f603", "\u2764\ufe0f \u2764", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd\U0001f44b\U0001f3ff", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7\U0001f1e9", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "1\ufe0f\u20e3 #\ufe0f\u20e3", "\U0001fae0\U0001fa77\U0001fae9\U0001f6dc", "x\U0001f389y\U0001f389\U0001f389z",
    "\ue000\uf8ff \U000f0000\U0010fffd", "\ufffe\uffff\ufdd0 \U0001fffe\U0010ffff", "\u0378\u0530 \U0001ffff \U000e0080", "\ufffd a\ufffdb", "\u1c89\u1c8a\ua7cb\ua7da \U00010d50\U00010d70\U00010d40 \u0897 \U00016d40 \U0001e5d0", "\U00011de0 \ua7ce\U00016ea0 \U00016ff4", "\u1885\u1886\u1734\ua9bd \U000111c9 \u166d\u1cf2\u1cf3\u08e2", "\u2e43\u2e52\u061d\u09fd\u0a76 \U00011b00",
    "[CLS]", "[SEP] [MASK] [PAD] [UNK]", "a [MASK] b", "a[MASK]b", "[mask] [cls]", "<s>hello</s>", " <s> hello </s> ", "<mask>", "a <mask> b", "a<mask>b", "a  <mask>  b\n<mask>\t", "<|endoftext|>", "one<|endoftext|>two <|endoftext|> three", "<|begin_of_text|>x<|end_of_text|>", "<unk> <pad> </s></s>", "<|im_start|>user\nhi<|im_end|>\n", "<extra_id_0> and <extra_id_1>", "<0x0A> <0xFF>", "\u2581 \u2581a\u2581\u2581b \u2581", "\u0120 \u010a a\u0120b", "##ing a##b", "</w> a</w>",
    "new\u00e9token here NEW\u00c9TOKEN newetoken", "left   strip right   strip both   sides", "a  LEFT b  RIGHT  c  BOTH  d", "xLEFTx xRIGHTx WORD WORDS aWORD WORD. _WORD -WORD-", "WORD", "LEFTRIGHTBOTH", "  LEFT", "RIGHT  ", "  BOTH  BOTH  ", "LEFT LEFT  LEFT", "\u00a0LEFT\u2003RIGHT\u3000", "Lower lower LOWER", "tok token tokens tokentok",
    "antidisestablishmentarianism", "w" * 90, "w" * 101, "ab" * 60, "the" * 40, "\u4e2d" * 40, "\U0001f600" * 12, "a\u0301" * 20, "x" * 99 + "y", "=" * 30, "." * 50, "-" * 17 + " " + "_" * 9, "\u0e01" * 30, " x" * 30, "\n \n" * 6,
]

_RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0xEFF),
           (0x1100, 0x11FF), (0x1E00, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xFFFF),
           (0x10000, 0x1FFFF), (0x20000, 0x3FFFF), (0x0, 0xFFFF), (0xE0000, 0x10FFFF)]
_WORDS = ("the hello world it's We'll 12 345 6789 naïve Straße лодка 小船 港口 カタカナ 작은 القارب เรือ नाव 😀 👍🏽 <s> </s> [MASK] <mask> "
          "<|endoftext|> LEFT RIGHT BOTH WORD ▁ Ġ ' ! ... — ( ) \n \t").split(" ")


def drawn(count=150, seed=20):
    """Strings at random: of one range, of many, and of words with spaces of all kinds between them."""
    random.seed(seed)
    texts = []
    for i in range(count):
        length = random.randint(1, 14)
        if i % 3 == 0:
            chosen = [random.choice(_RANGES)] * length
        else:
            chosen = [random.choice(_RANGES) for _ in range(length)]
        if i % 3 == 2:
            text = "".join(random.choice(_WORDS) + random.choice(["", " ", " ", "  ", "\n", "\u00a0"]) for _ in range(length))
        else:
            text = "".join(chr(random.randint(*part)) for part in chosen)
        texts.append("".join(c for c in text if not 0xD800 <= ord(c) < 0xE000))
    return texts


def texts():
    return list(dict.fromkeys(WRITTEN + drawn()))
