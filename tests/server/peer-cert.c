/* SPDX-License-Identifier: MIT */
#include "peer-cert.h"

#include <glib/gstdio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

enum { DAY = 24 * 60 * 60, CONTEXTS = PEER_N_CERTS * 3 };

typedef struct {
	EVP_PKEY *key;
	X509 *certificate;
} Identity;

struct PeerPki {
	Identity ca, unknown_ca;
	Identity leaves[PEER_N_CERTS]; /* made when first asked for, guarded by lock */
	SSL_CTX *contexts[CONTEXTS];
	GMutex lock;
	char *ca_file;
};

static const struct {
	const char *common_name;
	const char *alternative_names; /* NULL: none */
	long from, until;	       /* seconds from now */
} kinds[PEER_N_CERTS] = {
	[PEER_GOOD] = {"localhost", "DNS:localhost,DNS:*.mail.localhost,IP:127.0.0.1,IP:::1", -DAY,
		       DAY},
	[PEER_WRONG_NAME] = {"localhost", "DNS:other.example", -DAY, DAY},
	[PEER_CN_ONLY] = {"localhost", NULL, -DAY, DAY},
	[PEER_OTHER_IP] = {"127.0.0.1", "IP:192.0.2.1", -DAY, DAY},
	[PEER_DEEP_WILDCARD] = {"a.b.mail.localhost", "DNS:*.mail.localhost", -DAY, DAY},
	[PEER_EXPIRED] = {"localhost", "DNS:localhost,IP:127.0.0.1", -3 * DAY, -2 * DAY},
	[PEER_FUTURE] = {"localhost", "DNS:localhost,IP:127.0.0.1", 2 * DAY, 3 * DAY},
	[PEER_SELF_SIGNED] = {"localhost", "DNS:localhost,IP:127.0.0.1", -DAY, DAY},
	[PEER_UNKNOWN_CA] = {"localhost", "DNS:localhost,IP:127.0.0.1", -DAY, DAY},
};

static void
add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	g_assert_nonnull(extension);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

/* @issuer NULL: signed by itself. */
static Identity
identity_new(const char *common_name, const char *names, gboolean is_ca, long from, long until,
	     const Identity *issuer)
{
	Identity self = {EVP_EC_gen("P-256"), X509_new()};
	X509_NAME *name = X509_get_subject_name(self.certificate);

	X509_set_version(self.certificate, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(self.certificate), g_random_int());
	X509_gmtime_adj(X509_getm_notBefore(self.certificate), from);
	X509_gmtime_adj(X509_getm_notAfter(self.certificate), until);
	X509_set_pubkey(self.certificate, self.key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const guchar *)common_name, -1, -1,
				   0);
	X509_set_issuer_name(self.certificate,
			     issuer != NULL ? X509_get_subject_name(issuer->certificate) : name);
	add_extension(self.certificate, NID_basic_constraints,
		      is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (names != NULL)
		add_extension(self.certificate, NID_subject_alt_name, names);
	g_assert_cmpint(
		X509_sign(self.certificate, issuer != NULL ? issuer->key : self.key, EVP_sha256()),
		>, 0);
	return self;
}

static void
identity_clear(Identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->certificate);
}

PeerPki *
peer_pki_new(void)
{
	PeerPki *pki = g_new0(PeerPki, 1);
	int fd = g_file_open_tmp("mailfs-test-ca-XXXXXX.pem", &pki->ca_file, NULL);
	FILE *file = fdopen(fd, "w");

	g_mutex_init(&pki->lock);
	pki->ca = identity_new("Test CA", NULL, TRUE, -DAY, DAY, NULL);
	pki->unknown_ca = identity_new("Somebody Else's CA", NULL, TRUE, -DAY, DAY, NULL);
	g_assert_cmpint(PEM_write_X509(file, pki->ca.certificate), ==, 1);
	fclose(file);
	return pki;
}

void
peer_pki_free(PeerPki *pki)
{
	for (int i = 0; i < CONTEXTS; i++)
		SSL_CTX_free(pki->contexts[i]);
	for (int i = 0; i < PEER_N_CERTS; i++)
		identity_clear(&pki->leaves[i]);
	identity_clear(&pki->ca);
	identity_clear(&pki->unknown_ca);
	g_unlink(pki->ca_file);
	g_free(pki->ca_file);
	g_mutex_clear(&pki->lock);
	g_free(pki);
}

const char *
peer_pki_ca_file(const PeerPki *pki)
{
	return pki->ca_file;
}

/* Called with the lock held. */
static const Identity *
leaf_of(PeerPki *pki, PeerCert cert)
{
	Identity *leaf = &pki->leaves[cert & 0xff];
	const Identity *issuer = &pki->ca;

	if ((cert & 0xff) == PEER_SELF_SIGNED)
		issuer = NULL;
	if ((cert & 0xff) == PEER_UNKNOWN_CA)
		issuer = &pki->unknown_ca;
	if (leaf->key == NULL)
		*leaf = identity_new(kinds[cert & 0xff].common_name,
				     kinds[cert & 0xff].alternative_names, FALSE,
				     kinds[cert & 0xff].from, kinds[cert & 0xff].until, issuer);
	return leaf;
}

char *
peer_pki_fingerprint(PeerPki *pki, PeerCert cert)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pki->lock);
	GString *text = g_string_new("sha256:");
	guint8 digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	X509_digest(leaf_of(pki, cert)->certificate, EVP_sha256(), digest, &len);
	for (unsigned int i = 0; i < len; i++)
		g_string_append_printf(text, "%02x", digest[i]);
	return g_string_free(text, FALSE);
}

SSL_CTX *
peer_pki_context(PeerPki *pki, PeerCert cert)
{
	g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pki->lock);
	int version = cert & PEER_TLS_1_1 ? 1 : cert & PEER_TLS_1_2 ? 2 : 0;
	SSL_CTX **context = &pki->contexts[(cert & 0xff) * 3 + version];
	const Identity *leaf = leaf_of(pki, cert);

	if (*context != NULL)
		return *context;
	*context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(*context, leaf->certificate);
	SSL_CTX_use_PrivateKey(*context, leaf->key);
	SSL_CTX_set_session_id_context(*context, (const guchar *)"peer", 4);
	if (version == 1) {
		SSL_CTX_set_cipher_list(*context, "ALL:@SECLEVEL=0");
		SSL_CTX_set_min_proto_version(*context, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(*context, TLS1_1_VERSION);
	} else if (version == 2) {
		SSL_CTX_set_max_proto_version(*context, TLS1_2_VERSION);
	}
	return *context;
}
