#include <config.h>

#include "base/pki.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "util.h"

#define DAY 86400
#define SKEW 300                /* By how much clocks may disagree. */
#define SERIAL_BYTES 16

/* "No well-defined expiration date": RFC 5280, section 4.1.2.5. */
#define NO_END ((time_t) 253402300799)

/* A holder of a certificate. */
struct pair {
    EVP_PKEY *key;
    X509 *certificate;
};

/* The last error of the library, without its place in its source. */
static int
crypto_error(struct err *err, const char *what)
{
    unsigned long int code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return err_set(err, EPROTO, "%s: %s", what,
                   reason ? reason : "the cryptographic library failed");
}

static void
pair_finish(struct pair *pair)
{
    EVP_PKEY_free(pair->key);
    X509_free(pair->certificate);
    *pair = (struct pair) { NULL, NULL };
}

static char *
file_of(const char *dir, const char *name, const char *suffix)
{
    return xasprintf("%s/%s.%s", dir, name, suffix);
}

static int
check_name(const char *name, struct err *err)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "abcdefghijklmnopqrstuvwxyz0123456789._-");

    if (!n || n > PKI_NAME_LEN || name[n]
        || !isalnum((unsigned char) name[0])) {
        return err_set(err, EINVAL, "\"%.70s\" is not a name: letters, "
                       "digits, \".\", \"_\" and \"-\", at most %d", name,
                       PKI_NAME_LEN);
    }
    return (strcmp(name, "ca") ? 0
            : err_set(err, EINVAL, "\"ca\" is the authority itself"));
}

/* Files. */

static int
write_pem(int fd, const struct pair *pair, bool key, const char *file,
          struct err *err)
{
    FILE *stream = fdopen(fd, "w");
    int good;

    if (!stream) {
        int error = errno;
        close(fd);
        return err_set(err, error, "%s: %s", file, ovs_strerror(error));
    }
    good = key ? PEM_write_PrivateKey(stream, pair->key, NULL, NULL, 0, NULL,
                                      NULL)
           : PEM_write_X509(stream, pair->certificate);
    if (fflush(stream) || fsync(fd)) {
        int error = errno;
        fclose(stream);
        return err_set(err, error, "%s: %s", file, ovs_strerror(error));
    }
    fclose(stream);
    return good ? 0 : crypto_error(err, file);
}

/* Writes the key or the certificate into a new file beside 'file', which the
 * caller frees, and removes or publishes. */
static int
prepare_file(const char *file, const struct pair *pair, bool key,
             char **temporary, struct err *err)
{
    char *name = xasprintf("%s.XXXXXX", file);
    int fd = mkostemp(name, O_CLOEXEC);         /* Only for us. */
    int error;

    if (fd < 0) {
        error = err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
        free(name);
        return error;
    }
    if (!key && fchmod(fd, 0644)) {
        error = err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
        close(fd);
    } else {
        error = write_pem(fd, pair, key, file, err);
    }
    if (error) {
        unlink(name);
        free(name);
        return error;
    }
    *temporary = name;
    return 0;
}

/* Gives a prepared file its name.  Unlike rename(), link() never replaces. */
static int
publish(const char *temporary, const char *file, bool replace,
        struct err *err)
{
    if (replace ? !rename(temporary, file) : !link(temporary, file)) {
        return 0;
    }
    return (errno == EEXIST
            ? err_set(err, EEXIST, "%s exists and is not replaced", file)
            : err_set(err, errno, "%s: %s", file, ovs_strerror(errno)));
}

/* The names must outlive a crash of the machine, too. */
static void
sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* Publishes key and certificate, or nothing; but a machine that stops between
 * the two renames of a rotation leaves the new key with the old certificate,
 * and is told so by whoever reads them. */
static int
save(const char *dir, const char *name, const struct pair *pair,
     bool replace, struct err *err)
{
    char *key = file_of(dir, name, "key"), *new_key = NULL;
    char *certificate = file_of(dir, name, "crt"), *new_certificate = NULL;

    int error = prepare_file(key, pair, true, &new_key, err);
    if (!error) {
        error = prepare_file(certificate, pair, false, &new_certificate,
                             err);
    }
    if (!error) {
        error = publish(new_key, key, replace, err);
    }
    if (!error) {
        error = publish(new_certificate, certificate, replace, err);
        if (error && !replace) {
            unlink(key);        /* It is new, and nobody has seen it. */
        }
    }
    if (new_key) {
        unlink(new_key);
    }
    if (new_certificate) {
        unlink(new_certificate);
    }
    sync_folder(dir);
    free(key);
    free(new_key);
    free(certificate);
    free(new_certificate);
    return error;
}

static int
no_passphrase(char *buffer OVS_UNUSED, int size OVS_UNUSED,
              int writing OVS_UNUSED, void *aux OVS_UNUSED)
{
    return -1;                  /* The library would ask the terminal. */
}

static int
read_key(const char *file, EVP_PKEY **key, struct err *err)
{
    struct stat st;
    FILE *stream = fopen(file, "re");

    if (!stream) {
        return err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
    }
    if (!fstat(fileno(stream), &st) && st.st_mode & 027) {
        fclose(stream);
        return err_set(err, EPERM, "%s can be read by everybody or changed "
                       "by others; after \"chmod 600\" ask whether it is "
                       "still a secret", file);
    }
    *key = PEM_read_PrivateKey(stream, NULL, no_passphrase, NULL);
    fclose(stream);
    return *key ? 0 : crypto_error(err, file);
}

static int
read_certificate(const char *file, X509 **certificate, struct err *err)
{
    FILE *stream = fopen(file, "re");

    if (!stream) {
        return err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
    }
    *certificate = PEM_read_X509(stream, NULL, no_passphrase, NULL);
    fclose(stream);
    return *certificate ? 0 : crypto_error(err, file);
}

static int
read_pair(const char *key, const char *certificate, struct pair *pair,
          struct err *err)
{
    int error = read_key(key, &pair->key, err);

    if (!error) {
        error = read_certificate(certificate, &pair->certificate, err);
    }
    if (!error && !X509_check_private_key(pair->certificate, pair->key)) {
        ERR_clear_error();
        error = err_set(err, EINVAL, "%s is not the key of %s", key,
                        certificate);
    }
    if (error) {
        pair_finish(pair);
    }
    return error;
}

/* Certificates. */

static time_t
to_time(const ASN1_TIME *asn1)
{
    struct tm tm;

    return asn1 && ASN1_TIME_to_tm(asn1, &tm) ? timegm(&tm) : 0;
}

static bool
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid,
                                                    value);
    bool good = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return good;
}

static bool
add_extensions(X509 *certificate, X509 *issuer, const char *name)
{
    static const struct {
        int nid;
        const char *ca, *other;         /* Null: does not have it. */
    } rows[] = {
        { NID_basic_constraints, "critical,CA:TRUE,pathlen:0",
          "critical,CA:FALSE" },
        { NID_key_usage, "critical,keyCertSign,cRLSign",
          "critical,digitalSignature" },
        { NID_ext_key_usage, NULL, "serverAuth,clientAuth" },
        { NID_subject_key_identifier, "hash", "hash" },
        { NID_authority_key_identifier, NULL, "keyid:always" },
    };
    bool is_ca = issuer == certificate, good = true;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *value = is_ca ? rows[i].ca : rows[i].other;

        good = good && (!value || add_extension(certificate, issuer,
                                                rows[i].nid, value));
    }
    if (!is_ca) {
        char *dns = xasprintf("DNS:%s", name);

        good = good && add_extension(certificate, issuer,
                                     NID_subject_alt_name, dns);
        free(dns);
    }
    return good;
}

static bool
set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;
    bool good = RAND_bytes(bytes, sizeof bytes) == 1;

    bytes[0] = (bytes[0] & 0x7f) | 0x40;        /* Positive, full length. */
    good = (good && (number = BN_bin2bn(bytes, sizeof bytes, NULL))
            && BN_to_ASN1_INTEGER(number,
                                  X509_get_serialNumber(certificate)));
    BN_free(number);
    return good;
}

/* Makes a key and a certificate for 'name' that 'ca' signs; null: itself. */
static int
make_pair(const char *name, time_t begins, time_t ends,
          const struct pair *ca, struct pair *pair, struct err *err)
{
    struct pair new = { EVP_EC_gen("P-256"), X509_new() };
    X509 *c = new.certificate;
    X509_NAME *subject = c ? X509_get_subject_name(c) : NULL;

    if (!ca) {
        ca = &new;
    }
    if (!new.key || !c
        || !X509_set_version(c, X509_VERSION_3)
        || !set_serial(c)
        || !ASN1_TIME_set(X509_getm_notBefore(c), begins)
        || !ASN1_TIME_set(X509_getm_notAfter(c), ends)
        || !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                       (const unsigned char *) name, -1, -1,
                                       0)
        || !X509_set_issuer_name(c, X509_get_subject_name(ca->certificate))
        || !X509_set_pubkey(c, new.key)
        || !add_extensions(c, ca->certificate, name)
        || !X509_sign(c, ca->key, EVP_sha256())) {
        pair_finish(&new);
        return crypto_error(err, "making a certificate");
    }
    *pair = new;
    return 0;
}

/* The authority. */

/* Makes the folder, or proves that nobody else can exchange files in it. */
static int
make_folder(const char *dir, struct err *err)
{
    struct stat st;

    if (!mkdir(dir, 0700)) {
        return 0;
    } else if (errno != EEXIST || stat(dir, &st)) {
        return err_set(err, errno, "%s: %s", dir, ovs_strerror(errno));
    } else if (!S_ISDIR(st.st_mode)) {
        return err_set(err, ENOTDIR, "%s is not a folder", dir);
    }
    return (!(st.st_mode & 022) ? 0
            : err_set(err, EPERM, "others can write to %s; try a new folder, "
                      "or \"chmod 700\"", dir));
}

int
pki_init(const char *dir, time_t now, struct err *err)
{
    unsigned char random[4];
    struct pair pair;

    int error = make_folder(dir, err);
    if (error) {
        return error;
    }
    char *key = file_of(dir, "ca", "key");
    if (!access(key, F_OK)) {
        error = err_set(err, EEXIST, "%s exists: a CA's key is never "
                        "replaced, since all its certificates would be lost",
                        key);
    }
    free(key);
    if (error) {
        return error;
    }

    /* Authorities differ in their names, so that "foreign" is told apart
     * from "forged". */
    if (RAND_bytes(random, sizeof random) != 1) {
        return crypto_error(err, "random numbers");
    }
    char *name = xasprintf("Watari CA %02x%02x%02x%02x", random[0],
                           random[1], random[2], random[3]);
    now -= SKEW;
    error = make_pair(name, now, now + PKI_CA_DAYS * (time_t) DAY, NULL,
                      &pair, err);
    free(name);
    if (!error) {
        error = save(dir, "ca", &pair, false, err);
        pair_finish(&pair);
    }
    return error;
}

static int
read_ca(const char *dir, time_t now, int days, struct pair *ca,
        struct err *err)
{
    char *key = file_of(dir, "ca", "key");
    char *certificate = file_of(dir, "ca", "crt");
    int error;

    if (access(key, F_OK) && errno == ENOENT) {
        error = err_set(err, ENOENT, "there is no CA in %s; try \"watari pki "
                        "init %s\"", dir, dir);
    } else {
        error = read_pair(key, certificate, ca, err);
    }
    if (!error && !X509_check_ca(ca->certificate)) {
        error = err_set(err, EINVAL, "%s is no CA's certificate",
                        certificate);
        pair_finish(ca);
    }
    if (!error) {
        time_t left = to_time(X509_get0_notAfter(ca->certificate)) - now;

        if (left < days * (time_t) DAY) {
            error = err_set(err, ERANGE, left < DAY
                            ? "%s has expired or is about to; a new CA is "
                            "needed"
                            : "%s itself expires in %lld days, so it cannot "
                            "sign for longer", certificate,
                            (long long int) left / DAY);
            pair_finish(ca);
        }
    }
    free(key);
    free(certificate);
    return error;
}

static int
issue(const char *dir, const char *name, time_t now, int days, bool replace,
      struct err *err)
{
    struct pair ca = { NULL, NULL }, pair;

    int error = check_name(name, err);
    if (!error && (days < 1 || days > PKI_MAX_DAYS)) {
        error = err_set(err, EINVAL, "a certificate is good for 1 to %d days",
                        PKI_MAX_DAYS);
    }
    if (!error) {
        error = read_ca(dir, now, days, &ca, err);
    }
    if (error) {
        return error;
    }

    char *certificate = file_of(dir, name, "crt");
    char *key = file_of(dir, name, "key");
    bool exists = !access(certificate, F_OK) || !access(key, F_OK);
    if (exists && !replace) {
        error = err_set(err, EEXIST, "%s exists; \"watari pki rotate %s %s\" "
                        "replaces it and its key", certificate, dir, name);
    } else if (!exists && replace) {
        error = err_set(err, ENOENT, "there is no %s; \"watari pki issue %s "
                        "%s\" makes one", certificate, dir, name);
    } else {
        error = make_pair(name, now - SKEW, now + days * (time_t) DAY, &ca,
                          &pair, err);
    }
    free(certificate);
    free(key);
    if (!error) {
        error = save(dir, name, &pair, replace, err);
        pair_finish(&pair);
    }
    pair_finish(&ca);
    return error;
}

int
pki_issue(const char *dir, const char *name, time_t now, int days,
          struct err *err)
{
    return issue(dir, name, now, days, false, err);
}

int
pki_rotate(const char *dir, const char *name, time_t now, int days,
           struct err *err)
{
    return issue(dir, name, now, days, true, err);
}

/* Tickets. */

static char *
format_ticket(const struct pair *ca, const struct pair *pair)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *data;

    if (bio && PEM_write_bio_X509(bio, ca->certificate)
        && PEM_write_bio_X509(bio, pair->certificate)
        && PEM_write_bio_PrivateKey(bio, pair->key, NULL, NULL, 0, NULL,
                                    NULL)) {
        long int n = BIO_get_mem_data(bio, &data);

        text = xmemdup0(data, n);
    }
    BIO_free(bio);
    return text;
}

int
pki_make_tickets(const char *const names[2], char *tickets[2],
                 struct err *err)
{
    struct pair ca, pairs[2] = { { NULL, NULL }, { NULL, NULL } };
    char *made[2] = { NULL, NULL };

    int error = make_pair("once", 0, NO_END, NULL, &ca, err);
    if (error) {
        return error;
    }
    for (int i = 0; i < 2 && !error; i++) {
        error = make_pair(names[i], 0, NO_END, &ca, &pairs[i], err);
        made[i] = error ? NULL : format_ticket(&ca, &pairs[i]);
        if (!error && !made[i]) {
            error = crypto_error(err, "making a ticket");
        }
        pair_finish(&pairs[i]);
    }
    pair_finish(&ca);
    for (int i = 0; i < 2; i++) {
        if (error) {
            free(made[i]);
        } else {
            tickets[i] = made[i];
        }
    }
    return error;
}

/* Reading. */

/* In the library's way: up to a null character, so that who compares agrees
 * with libopenvswitch, which takes the first common name. */
static void
get_common_name(const X509_NAME *subject, char name[PKI_NAME_LEN + 1])
{
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    X509_NAME_ENTRY *entry = index < 0 ? NULL
                             : X509_NAME_get_entry(subject, index);

    ovs_strlcpy(name, entry ? (const char *) ASN1_STRING_get0_data(
                                  X509_NAME_ENTRY_get_data(entry)) : "",
                PKI_NAME_LEN + 1);
}

int
pki_read(const char *file, struct pki_certificate *c, struct err *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    X509 *x509;

    int error = read_certificate(file, &x509, err);
    if (error) {
        return error;
    }

    *c = (struct pki_certificate) {
        .begins = to_time(X509_get0_notBefore(x509)),
        .ends = to_time(X509_get0_notAfter(x509)),
        .is_ca = X509_check_ca(x509),
    };
    get_common_name(X509_get_subject_name(x509), c->name);
    get_common_name(X509_get_issuer_name(x509), c->issuer);

    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), NULL);
    char *serial = number ? BN_bn2hex(number) : NULL;
    ovs_strlcpy(c->serial, serial ? serial : "", sizeof c->serial);
    OPENSSL_free(serial);
    BN_free(number);

    X509_digest(x509, EVP_sha256(), digest, &n);
    for (unsigned int i = 0; i < n && i < 32; i++) {
        snprintf(c->fingerprint + 2 * i, 3, "%02x", digest[i]);
    }
    X509_free(x509);
    return 0;
}

static int
verify(X509 *certificate, X509 *ca, const char *file, const char *ca_file,
       struct err *err)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int error = 0;

    if (!store || !context || !X509_STORE_add_cert(store, ca)
        || !X509_STORE_CTX_init(context, store, certificate, NULL)) {
        error = crypto_error(err, file);
    } else {
        X509_STORE_CTX_set_flags(context, X509_V_FLAG_NO_CHECK_TIME);
        if (X509_verify_cert(context) != 1) {
            error = err_set(err, EINVAL, "%s was not signed by %s: %s", file,
                            ca_file, X509_verify_cert_error_string(
                                X509_STORE_CTX_get_error(context)));
        }
    }
    ERR_clear_error();
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return error;
}

int
pki_check(const char *key, const char *certificate, const char *ca,
          const char *name, struct err *err)
{
    struct pair pair = { NULL, NULL };
    char is[PKI_NAME_LEN + 1];
    X509 *authority = NULL;

    int error = read_pair(key, certificate, &pair, err);
    if (!error) {
        error = read_certificate(ca, &authority, err);
    }
    if (!error) {
        error = verify(pair.certificate, authority, certificate, ca, err);
    }
    if (!error && name) {
        get_common_name(X509_get_subject_name(pair.certificate), is);
        if (strcmp(is, name)) {
            error = err_set(err, EINVAL, "%s names \"%s\" instead of \"%s\"",
                            certificate, is, name);
        }
    }
    X509_free(authority);
    pair_finish(&pair);
    return error;
}
