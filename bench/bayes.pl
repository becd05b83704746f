# SpamAssassin's Bayes alone, with none of its rules. What it is told a line at a time is "judge FILE",
# "ham FILE" or "spam FILE"; it answers each with a line: the probability, "none" where it says nothing
# yet, or "done". The argument is the folder for its files.
use strict;
use warnings;
use Mail::SpamAssassin;
use Mail::SpamAssassin::PerMsgStatus;

my ($folder) = @ARGV;
my $filter = Mail::SpamAssassin->new({
    config_text => join("\n",
        'loadplugin Mail::SpamAssassin::Plugin::Check',
        'loadplugin Mail::SpamAssassin::Plugin::Bayes',
        'use_bayes 1', 'bayes_auto_learn 0', "bayes_path $folder/bayes", 'lock_method flock',
        'dns_available no'),
    local_tests_only => 1, dont_copy_prefs => 1,
    userstate_dir => $folder, home_dir_for_helpers => $folder,
});
$filter->init(1);
my ($bayes) = grep { ref eq 'Mail::SpamAssassin::Plugin::Bayes' } @{ $filter->{plugins}{plugins} };
$filter->init_learner({ wait_for_lock => 1 });
$| = 1;
while (my $order = <STDIN>) {
    chomp $order;
    my ($verb, $file) = split / /, $order, 2;
    open my $handle, '<:raw', $file or die "$file: $!";
    my $mail = $filter->parse([<$handle>], 1);
    close $handle;
    if ($verb eq 'judge') {
        my $status = Mail::SpamAssassin::PerMsgStatus->new($filter, $mail);
        $status->extract_message_metadata;
        my $score = $bayes->scan($status, $mail);
        print defined $score ? $score : 'none', "\n";
        $status->finish;
    } else {
        $filter->learn($mail, undef, $verb eq 'spam' ? 1 : 0, 0)->finish;
        print "done\n";
    }
    $mail->finish;
}
