#!/usr/bin/env perl
# Counts the words of data.text; JSON::PP comes with Perl.
use strict;
use warnings;
use JSON::PP;

my $json = JSON::PP->new->ascii->canonical;
open(my $events, '>>', $ENV{GRIDSIDECAR_EVENTS} // '/dev/stdout') or die "events: $!\n";
$events->autoflush(1);
sub say_ { print {$events} $json->encode({gs => 1, @_}), "\n" }

my $task = $json->decode(do { local $/; <STDIN> });
my $text = $task->{data}{text};
if (!defined $text || ref $text) {
    say_(type => 'error', error => 'data.text must be a text', error_type => 'BadInput', retryable => JSON::PP::false);
    exit 0;
}
my @words = split ' ', $text;
say_(type => 'progress', progress => 50, progress_message => 'split');
my ($longest) = sort { length $b <=> length $a || $a cmp $b } @words;
say_(type => 'result', result => {words => scalar @words, longest => $longest});
