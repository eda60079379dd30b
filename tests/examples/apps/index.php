<?php
// The same for php-fpm; see config.ru.
if ($_SERVER['REQUEST_URI'] !== '/slow') {
    echo "fast\n";
    return;
}
echo "begun\n";
// Debian's php.ini buffers the output.
ob_end_flush();
flush();
// The result of file_exists() is cached.
while (!file_exists('release')) {
    usleep(20000);
    clearstatcache();
}
echo "done\n";
