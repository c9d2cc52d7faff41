/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <sysexits.h>

#include <glib/gstdio.h>

static void
test_octal_escapes_are_undone(void)
{
	g_auto(ControlMount) mount = {0};

	g_assert_true(control_parse_mount(
		"41 29 0:37 / /home/al/my\\040mail\\134\\011x rw,nosuid,nodev,relatime shared:12 - "
		"fuse.mailfs imap://al@h\\040x rw,user_id=0",
		&mount));
	g_assert_cmpstr(mount.mountpoint, ==, "/home/al/my mail\\\tx");
	g_assert_cmpstr(mount.type, ==, "fuse.mailfs");
	g_assert_cmpstr(mount.source, ==, "imap://al@h x");
}

static void
test_optional_fields_may_be_none_or_many(void)
{
	static const char *const lines[] = {
		"41 29 0:37 / /m rw - fuse.mailfs s rw",
		"41 29 0:37 / /m rw shared:1 master:2 propagate_from:3 - fuse.mailfs s rw",
		"41 29 0:37 / /m rw - fuse.mailfs s",
	};

	for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_auto(ControlMount) mount = {0};

		g_assert_true(control_parse_mount(lines[i], &mount));
		g_assert_cmpstr(mount.mountpoint, ==, "/m");
		g_assert_cmpstr(mount.type, ==, "fuse.mailfs");
		g_assert_cmpstr(mount.source, ==, "s");
		g_assert_cmpuint(mount.connection, ==, 37);
	}
}

static void
test_malformed_lines_are_refused(void)
{
	static const char *const lines[] = {
		"",
		"41",
		"41 29 0:37 / /m rw",
		"41 29 0:37 / /m rw -",
		"41 29 0:37 / /m rw - fuse.mailfs",
		"41 29 0:37 / /m rw shared:1 fuse.mailfs s rw",
		"41 29 37 / /m rw - fuse.mailfs s rw",
		"41 29 0:37 / m rw - fuse.mailfs s rw",
	};

	for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_auto(ControlMount) mount = {0};

		if (control_parse_mount(lines[i], &mount))
			g_error("taken: %s", lines[i]);
	}
}

static void
test_backslash_that_is_no_escape_stays(void)
{
	g_auto(ControlMount) mount = {0};

	g_assert_true(control_parse_mount("1 2 0:3 / /a\\9\\04 rw - t \\ rw", &mount));
	g_assert_cmpstr(mount.mountpoint, ==, "/a\\9\\04");
	g_assert_cmpstr(mount.source, ==, "\\");
}

static void
test_directory_that_is_no_mount_is_free_and_cannot_be_unmounted(void)
{
	g_autofree char *directory = g_dir_make_tmp("mailfs-control-XXXXXX", NULL);
	g_autoptr(GError) error = NULL;
	gboolean cleared = TRUE;

	g_assert_true(control_clear_stale(directory, &cleared, &error));
	g_assert_no_error(error);
	g_assert_false(cleared);
	g_rmdir(directory);
	if (g_test_subprocess()) {
		g_assert_cmpint(control_umount(directory, FALSE), ==, EX_NOINPUT);
		g_assert_cmpint(control_status(directory, FALSE), ==, EX_NOINPUT);
		g_assert_cmpint(control_umount("/no/such/place", TRUE), ==, EX_NOINPUT);
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr("*is no mount of mailfs*");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/control/" name, function)
	ADD("octal-escapes-are-undone", test_octal_escapes_are_undone);
	ADD("optional-fields-may-be-none-or-many", test_optional_fields_may_be_none_or_many);
	ADD("malformed-lines-are-refused", test_malformed_lines_are_refused);
	ADD("backslash-that-is-no-escape-stays", test_backslash_that_is_no_escape_stays);
	ADD("directory-that-is-no-mount-is-free-and-cannot-be-unmounted",
	    test_directory_that_is_no_mount_is_free_and_cannot_be_unmounted);
	return g_test_run();
}
