/* Configs and POPE files. */
#include "mutate.h"

#include <hadpo.h>
#include <string.h>

const char *const fuzz_seeds[] = {
    "={\"schema\":\"hadpo.train/1\",\"data\":{\"format\":\"pairs\",\"pairs\":\"a\",\"images\":\"b\"},\"beta\":0.1,\"steps\":45,"
    "\"optimizer\":{\"learning_rate\":2e-4,\"max_grad_norm\":1.0},\"lora\":{\"rank\":16,\"alpha\":32}}",
    "={\"schema\":\"hadpo.generate/1\",\"question\":\"a\\u00e9\\ud83d\\ude00\",\"stop\":[\"a\",\"b\"],\"top_p\":0.5,\"seed\":7}",
    "={\"schema\":\"hadpo.engine/1\",\"threads\":2,\"kernels\":\"auto\",\"memory_limit\":1000000000}",
    "={\"question_id\":1,\"image\":\"a.jpg\",\"text\":\"Is there a dog in the image?\",\"label\":\"yes\"}\n"
    "{\"question_id\":2,\"image\":\"a.jpg\",\"text\":\"Is there a cat in the image?\",\"label\":\"no\"}\n",
    NULL};

static const char answers[] = "{\"question_id\":1,\"question\":\"\",\"answer\":\"Yes.\"}\n"
                              "{\"question_id\":2,\"question\":\"\",\"answer\":\"No.\"}\n";

void fuzz_begin(const char *fixtures)
{
    (void)fixtures;
}

void fuzz_one(const uint8_t *data, size_t size, size_t seed)
{
    hadpo_bytes *json = NULL;
    const char *text = (const char *)data;
    if (seed < 3) {
        hadpo_config_resolve(text, size, &json, NULL);
    } else {
        hadpo_pope_score(text, size, answers, strlen(answers), &json, NULL);
        hadpo_bytes_free(json);
        json = NULL;
        hadpo_pope_score(answers, strlen(answers), text, size, &json, NULL);
    }
    hadpo_bytes_free(json);
}
