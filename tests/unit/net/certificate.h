#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* A self-signed certificate and its key in two temporary files. */
struct certificate {
    char cert_file[64];
    char key_file[64];
};

static inline FILE *certificate_file(char *path, size_t size)
{
    snprintf(path, size, "/tmp/fallthrough-test-XXXXXX");
    int fd = mkstemp(path);
    return fd >= 0 ? fdopen(fd, "w") : NULL;
}

static inline void certificate_extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

/* `names` as in "DNS:example.test,IP:127.0.0.1". */
static inline void certificate_make(struct certificate *c, const char *names)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    certificate_extend(x, NID_basic_constraints, "critical,CA:TRUE");
    certificate_extend(x, NID_subject_alt_name, names);
    X509_sign(x, key, EVP_sha256());
    FILE *cert_out = certificate_file(c->cert_file, sizeof(c->cert_file));
    FILE *key_out = certificate_file(c->key_file, sizeof(c->key_file));
    PEM_write_X509(cert_out, x);
    PEM_write_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL);
    fclose(cert_out);
    fclose(key_out);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void certificate_remove(const struct certificate *c)
{
    unlink(c->cert_file);
    unlink(c->key_file);
}
