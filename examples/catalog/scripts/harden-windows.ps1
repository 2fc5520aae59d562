# Turns off what a Windows server no longer needs to speak: TLS 1.0 and 1.1, SMB 1, unsigned SMB,
# LLMNR and the old forms of NTLM. Any failure fails the build.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version Latest

function Set-Value([string] $Path, [string] $Name, [int] $Value) {
    if (-not (Test-Path $Path)) {
        New-Item -Path $Path -Force | Out-Null
    }
    New-ItemProperty -Path $Path -Name $Name -Value $Value -PropertyType DWord -Force | Out-Null
}

# TLS 1.2 and newer only, for servers and clients.
$protocols = 'HKLM:\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols'
foreach ($old in 'SSL 3.0', 'TLS 1.0', 'TLS 1.1') {
    foreach ($side in 'Server', 'Client') {
        Set-Value "$protocols\$old\$side" 'Enabled' 0
        Set-Value "$protocols\$old\$side" 'DisabledByDefault' 1
    }
}
foreach ($side in 'Server', 'Client') {
    Set-Value "$protocols\TLS 1.2\$side" 'Enabled' 1
    Set-Value "$protocols\TLS 1.2\$side" 'DisabledByDefault' 0
}

# .NET 4 asks for TLS 1.0 unless it is told to take what the system takes.
foreach ($root in 'HKLM:\SOFTWARE\Microsoft', 'HKLM:\SOFTWARE\WOW6432Node\Microsoft') {
    Set-Value "$root\.NETFramework\v4.0.30319" 'SchUseStrongCrypto' 1
    Set-Value "$root\.NETFramework\v4.0.30319" 'SystemDefaultTlsVersions' 1
}

# SMB 1 is a feature that may be absent already; the server refuses it either way.
$smb1 = Get-WindowsOptionalFeature -Online -FeatureName SMB1Protocol
if ($null -ne $smb1 -and $smb1.State -ne 'Disabled') {
    Disable-WindowsOptionalFeature -Online -FeatureName SMB1Protocol -NoRestart | Out-Null
}
Set-SmbServerConfiguration -EnableSMB1Protocol $false -RequireSecuritySignature $true `
    -EncryptData $true -Force
Set-SmbClientConfiguration -RequireSecuritySignature $true -Force

# Names are resolved by DNS only.
Set-Value 'HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\DNSClient' 'EnableMulticast' 0

# NTLMv2 only, and no hashes of the LAN Manager.
$lsa = 'HKLM:\SYSTEM\CurrentControlSet\Control\Lsa'
Set-Value $lsa 'LmCompatibilityLevel' 5
Set-Value $lsa 'NoLMHash' 1
Set-Value $lsa 'RestrictAnonymous' 1

# What counts is what is in force.
$server = Get-SmbServerConfiguration
if ($server.EnableSMB1Protocol -or -not $server.RequireSecuritySignature) {
    throw 'the SMB server still accepts SMB 1 or unsigned messages'
}
