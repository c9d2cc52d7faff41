/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over kept inputs, for builds without a fuzzing engine: the corpus as a test.
 * Arguments are files and directories of files. */
#include <glib.h>

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static guint
run_file(const char *path)
{
	g_autofree char *data = NULL;
	g_autofree guint8 *exact = NULL;
	g_autoptr(GError) error = NULL;
	gsize size = 0;

	if (!g_file_get_contents(path, &data, &size, &error))
		g_error("%s", error->message);
	/* Of just this length, so that a read past the end is seen. */
	exact = g_memdup2(data, size);
	g_printerr("%s\n", path);
	LLVMFuzzerTestOneInput(exact, size);
	return 1;
}

static guint
run_path(const char *path)
{
	g_autoptr(GDir) directory = NULL;
	g_autoptr(GError) error = NULL;
	const char *name;
	guint inputs = 0;

	if (!g_file_test(path, G_FILE_TEST_IS_DIR))
		return run_file(path);
	directory = g_dir_open(path, 0, &error);
	if (directory == NULL)
		g_error("%s", error->message);
	while ((name = g_dir_read_name(directory)) != NULL) {
		g_autofree char *below = g_build_filename(path, name, NULL);

		inputs += run_path(below);
	}
	return inputs;
}

int
main(int argc, char **argv)
{
	guint inputs = 0;

	LLVMFuzzerTestOneInput((const guint8 *)"", 0);
	for (int i = 1; i < argc; i++)
		inputs += run_path(argv[i]);
	g_print("%u inputs\n", inputs);
	return inputs == 0;
}
