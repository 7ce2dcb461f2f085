#include "codes.h"

static const struct {
    const char *text, *meaning;
    enum code_use use;
} codes[CODE_COUNT] = {[CODE_NONE] = {"", "", CODE_REFUSAL},
#define CODE_ROW(name, text, use, meaning) [CODE_##name] = {text, meaning, use},
                       CODES(CODE_ROW)
#undef CODE_ROW
};

const char *code_text(enum code code) { return codes[code].text; }
enum code_use code_use(enum code code) { return codes[code].use; }
const char *code_meaning(enum code code) { return codes[code].meaning; }

enum code code_refusal(const char *text, enum code otherwise) {
    for (int code = CODE_NONE + 1; code < CODE_COUNT; code++)
        if (codes[code].use == CODE_REFUSAL && strcmp(codes[code].text, text) == 0) return (enum code)code;
    return otherwise;
}
