# ~/.bash_logout

