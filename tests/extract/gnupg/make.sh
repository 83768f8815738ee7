#!/bin/sh
# Makes the files of this folder with GnuPG (2.2.40 was used). The keys are for these tests only.
set -eu
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d); export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
at() { when=$1; shift; gpg --batch --yes -q --pinentry-mode loopback --trust-model always --faked-system-time "$when" "$@" 2>/dev/null; }
first=20240101T000000 later=20240601T000000
at $first --passphrase 'correct horse' --quick-gen-key ours@example.com ed25519 cert,sign never
ours=$(gpg --list-keys --with-colons ours@example.com | awk -F: '/^fpr/{print $10;exit}')
at $first --passphrase 'correct horse' --quick-add-key "$ours" cv25519 encr never
at $first --passphrase '' --quick-gen-key school@example.com ed25519 cert,sign never
printf 'Id,Name,Last\n1,Ana,Ruiz\n2,Bo,Li\n' > people.csv
at $first -r ours@example.com -o old_subkey.pgp -e people.csv
at $later --passphrase 'correct horse' --quick-add-key "$ours" cv25519 encr never
at $later --passphrase 'correct horse' --armor --export-secret-keys ours@example.com > ours_private.asc
at $later --armor --export school@example.com > school_public.asc
to() { at $later -r ours@example.com "$@" -e people.csv; }
to -o plain.pgp
to --armor -o armored.asc
at $later -R ours@example.com -o hidden.pgp -e people.csv
to --compress-algo bzip2 -o bzip2.pgp
to -u school@example.com --passphrase '' --compress-algo none -o signed.pgp -s
to -u school@example.com --passphrase '' --compress-algo zip -o signed_compressed.pgp -s
to --cipher-algo CAST5 -o cast5.pgp
to --rfc2440 --disable-mdc -o unprotected.pgp
at $later --passphrase secret -o password.pgp -c people.csv
at $later -u school@example.com --passphrase '' -o only_signed.pgp -s people.csv
rm people.csv
head -c 70000000 /dev/zero > zeros; at $later -r ours@example.com -o bomb.pgp -e zeros; rm zeros
at 20200101T000000 --passphrase '' --quick-gen-key expired@example.com ed25519 cert 1y
old=$(gpg --list-keys --with-colons expired@example.com | awk -F: '/^fpr/{print $10;exit}')
at 20200101T000000 --passphrase '' --quick-add-key "$old" cv25519 encr 1y
printf 'Id,Name,Last\n1,Ana,Ruiz\n' > people.csv
at 20200201T000000 -r expired@example.com -o for_expired.pgp -e people.csv
at 20200201T000000 --passphrase '' --armor --export-secret-keys expired@example.com > expired_private.asc
rm people.csv
