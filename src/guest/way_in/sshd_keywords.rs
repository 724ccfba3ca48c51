//! The keywords of `sshd_config`, and what sshd does not start with (`servconf.c`): one that it does
//! not know, one that has to stand outside of `Match`, or a value that is none.

use crate::path::escape;

/// What OpenSSH of some release or distribution knows, what it only warns of among them: the
/// project's own, and what Debian, Red Hat and FreeBSD add.
const KNOWN: &str = "\
    acceptenv addressfamily afstokenpassing allowagentforwarding allowgroups \
    allowstreamlocalforwarding allowtcpforwarding allowusers authenticationmethods \
    authorizedkeyscommand authorizedkeyscommandrunas authorizedkeyscommanduser \
    authorizedkeysfile authorizedkeysfile2 authorizedprincipalscommand \
    authorizedprincipalscommanduser authorizedprincipalsfile banner canonicalmatchuser \
    casignaturealgorithms challengeresponseauthentication channeltimeout checkmail \
    chrootdirectory ciphers clientalivecountmax clientaliveinterval compression debianbanner \
    denygroups denyusers disableforwarding disablemtaes dsaauthentication exposeauthinfo \
    fingerprinthash forcecommand gatewayports gssapiauthentication gssapicleanupcredentials \
    gssapicleanupcreds gssapidelegatecredentials gssapienablek5users gssapiindicators \
    gssapikexalgorithms gssapikeyexchange gssapistorecredentialsonrekey \
    gssapistrictacceptorcheck gssapiusesessioncredcache gssusesessionccache \
    hostbasedacceptedalgorithms hostbasedacceptedkeytypes hostbasedauthentication \
    hostbasedusesnamefrompacketonly hostcertificate hostdsakey hostkey hostkeyagent \
    hostkeyalgorithms hpnbuffersize hpndisabled ignorerhosts \
    ignoreuserknownhosts ipqos kbdinteractiveauthentication keepalive \
    kerberosauthentication kerberosgetafstoken kerberosorlocalpasswd kerberostgtpassing \
    kerberosticketcleanup kerberosuniqueccache kerberosusekuserok kexalgorithms \
    keyregenerationinterval listenaddress logingracetime loglevel logverbose macs \
    maxauthtries maxsessions maxstartups modulifile noneenabled nonemacenabled \
    pamauthenticationviakbdint pamservicename passwordauthentication permitblacklistedkeys \
    permitemptypasswords permitlisten permitopen permitrootlogin permittty permittunnel \
    permituserenvironment permituserrc persourcemaxstartups persourcenetblocksize \
    persourcepenalties persourcepenaltyexemptlist pidfile port printlastlog printmotd \
    protocol pubkeyacceptedalgorithms pubkeyacceptedkeytypes pubkeyauthentication \
    pubkeyauthoptions rdomain refuseconnection rekeylimit requiredauthentications1 \
    requiredauthentications2 requiredrsasize reversemappingcheck revokedkeys \
    rhostsauthentication rhostsrsaauthentication rsaauthentication rsaminsize \
    securitykeyprovider serverkeybits setenv showpatchlevel skeyauthentication sshdauthpath \
    sshdsessionpath streamlocalbindmask streamlocalbindunlink strictmodes subsystem \
    syslogfacility tcpkeepalive tcprcvbuf tcprcvbufpoll trustedusercakeys \
    unusedconnectiontimeout useblacklist useblocklist usedns uselogin usepam \
    useprivilegeseparation verifyreversemapping versionaddendum x11displayoffset \
    x11forwarding x11maxdisplays x11uselocalhost xauthlocation";

/// Those that may stand in a block that holds for some, in one release or another.
const WITHIN: &str = "\
    acceptenv allowagentforwarding allowgroups allowstreamlocalforwarding allowtcpforwarding \
    allowusers authenticationmethods authorizedkeyscommand authorizedkeyscommanduser \
    authorizedkeysfile authorizedkeysfile2 authorizedprincipalscommand \
    authorizedprincipalscommanduser authorizedprincipalsfile banner casignaturealgorithms \
    challengeresponseauthentication channeltimeout chrootdirectory clientalivecountmax \
    clientaliveinterval denygroups denyusers disableforwarding exposeauthinfo forcecommand \
    gatewayports gssapiauthentication gssapienablek5users hostbasedacceptedalgorithms \
    hostbasedacceptedkeytypes hostbasedauthentication hostbasedusesnamefrompacketonly \
    ignorerhosts ipqos kbdinteractiveauthentication kerberosauthentication kerberosusekuserok \
    loglevel logverbose maxauthtries maxsessions pamservicename passwordauthentication \
    permitemptypasswords permitlisten permitopen permitrootlogin permittty permittunnel \
    permituserrc pubkeyacceptedalgorithms pubkeyacceptedkeytypes pubkeyauthentication \
    pubkeyauthoptions rdomain refuseconnection rekeylimit requiredrsasize revokedkeys \
    rhostsrsaauthentication rsaauthentication setenv skeyauthentication streamlocalbindmask \
    streamlocalbindunlink subsystem trustedusercakeys unusedconnectiontimeout x11displayoffset \
    x11forwarding x11uselocalhost";

/// What is `yes` or `no`.
const FLAGS: &str = "allowagentforwarding challengeresponseauthentication disableforwarding \
    exposeauthinfo hostbasedauthentication ignoreuserknownhosts kbdinteractiveauthentication \
    passwordauthentication permitemptypasswords permittty permituserrc printmotd \
    pubkeyauthentication strictmodes tcpkeepalive usedns usepam x11forwarding x11uselocalhost";

/// What is one of some words.
const WORDS: &[(&str, &str)] = &[
    ("permitrootlogin", "yes no without-password prohibit-password forced-commands-only"),
    ("addressfamily", "any inet inet6"),
    ("allowtcpforwarding", "yes all no local remote"),
    ("allowstreamlocalforwarding", "yes all no local remote"),
    ("compression", "yes delayed no"),
    ("gatewayports", "yes no clientspecified"),
    ("loglevel", "quiet fatal error info verbose debug debug1 debug2 debug3"),
    (
        "syslogfacility",
        "daemon user auth authpriv local0 local1 local2 local3 local4 local5 local6 local7",
    ),
];

/// What a block may ask for.
const CRITERIA: &str = "all user group host address localaddress localport rdomain invalid-user \
    version";

/// Whether a list in one text has a word.
fn has(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|it| it == word)
}

/// Why sshd does not start with a line; `key` in lower case, `within` whether it stands in a block
/// that does not hold for all.
pub(super) fn refuses(key: &str, values: &[String], within: bool) -> Option<String> {
    let known = key == "match" || key == "include" || has(KNOWN, key);
    let told = escape(key.as_bytes());
    if !known {
        return Some(format!("unknown keyword '{told}'"));
    }
    let Some(first) = values.first() else { return Some(format!("'{told}' has no value")) };
    if within && !matches!(key, "match" | "include") && !has(WITHIN, key) {
        return Some(format!("'{told}' may not stand in a 'Match' block"));
    }
    let value = first.to_ascii_lowercase();
    let words = match WORDS.iter().find(|it| it.0 == key) {
        Some((_, words)) => Some(*words),
        None => has(FLAGS, key).then_some("yes no"),
    };
    let number = || value.parse::<u32>().ok();
    let right = match (words, key) {
        (Some(words), _) => has(words, &value) && values.len() == 1,
        // A service's name is one, too.
        (_, "port") => match number() {
            Some(port) => (1..=65_535).contains(&port),
            None => value.starts_with(|it: char| it.is_ascii_alphabetic()) && is_service(&value),
        },
        (_, "maxauthtries" | "maxsessions") => i32::try_from(number().unwrap_or(u32::MAX)).is_ok(),
        (_, "maxstartups") => startups(&value),
        _ => true,
    };
    (!right).then(|| {
        let all = values.iter().map(|it| escape(it.as_bytes())).collect::<Vec<_>>();
        format!("'{told} {}' is no setting", all.join(" "))
    })
}

/// The only names that stand for a port in practice.
fn is_service(name: &str) -> bool {
    matches!(name, "ssh" | "telnet" | "http" | "https" | "domain")
}

/// `START` or `START:RATE:FULL`.
fn startups(value: &str) -> bool {
    let parts: Option<Vec<u32>> = value.split(':').map(|it| it.parse().ok()).collect();
    match parts.as_deref() {
        Some([begin]) => *begin > 0,
        Some([begin, rate, full]) => *begin > 0 && begin <= full && (1..=100).contains(rate),
        _ => false,
    }
}

/// Why sshd does not start with the criteria of a block, names in lower case.
pub(super) fn refuses_block(criteria: &[(String, String)]) -> Option<String> {
    if criteria.is_empty() {
        return Some("'Match' without a criterion".into());
    }
    for (name, value) in criteria {
        let told = escape(name.as_bytes());
        if !has(CRITERIA, name) {
            return Some(format!("'Match' with unknown criterion '{told}'"));
        }
        match name.as_str() {
            "all" if criteria.len() > 1 => {
                return Some("'Match' with 'all' beside another criterion".into());
            }
            "all" | "invalid-user" => {}
            _ if value.is_empty() => return Some(format!("'Match {told}' without a pattern")),
            _ => {}
        }
    }
    None
}
